// Reads entries and a signed note from standard input, and answers with what golang.org/x/mod/sumdb
// makes of them: its own roots, proofs and note, and whether it accepts ours.
package main

import (
	"crypto/rand"
	"encoding/json"
	"log"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Entries  [][]byte   // of the log
	Note     string     // ours
	Verifier string     // ours, Ed25519
	Records  [][][]byte // our inclusion proof of each entry in the whole tree
	Trees    [][][]byte // our consistency proof from each size 1 … n-1 to n
}

type answer struct {
	Roots    [][]byte   // at sizes 1 … n
	Records  [][][]byte // its inclusion proofs
	Trees    [][][]byte // its consistency proofs
	Text     string     // of our note, once verified
	Note     string     // of its own over the same text
	Verifier string     // of its own
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		found[i] = h[at]
	}
	return found, nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func pack(proof []tlog.Hash) [][]byte {
	packed := [][]byte{}
	for i := range proof {
		packed = append(packed, append([]byte(nil), proof[i][:]...))
	}
	return packed
}

func unpack(proof [][]byte) []tlog.Hash {
	unpacked := make([]tlog.Hash, len(proof))
	for i := range proof {
		copy(unpacked[i][:], proof[i])
	}
	return unpacked
}

func main() {
	var q question
	check(json.NewDecoder(os.Stdin).Decode(&q))
	var stored hashes
	roots := []tlog.Hash{{}}
	var a answer
	for i, entry := range q.Entries {
		added, err := tlog.StoredHashes(int64(i), entry, stored)
		check(err)
		stored = append(stored, added...)
		root, err := tlog.TreeHash(int64(i)+1, stored)
		check(err)
		roots = append(roots, root)
		a.Roots = append(a.Roots, append([]byte(nil), root[:]...))
	}
	n := int64(len(q.Entries))
	for i := int64(0); i < n; i++ {
		proof, err := tlog.ProveRecord(n, i, stored)
		check(err)
		a.Records = append(a.Records, pack(proof))
		leaf := tlog.RecordHash(q.Entries[i])
		check(tlog.CheckRecord(unpack(q.Records[i]), n, roots[n], i, leaf))
	}
	for old := int64(1); old < n; old++ {
		proof, err := tlog.ProveTree(n, old, stored)
		check(err)
		a.Trees = append(a.Trees, pack(proof))
		check(tlog.CheckTree(unpack(q.Trees[old-1]), n, roots[n], old, roots[old]))
	}
	verifier, err := note.NewVerifier(q.Verifier)
	check(err)
	opened, err := note.Open([]byte(q.Note), note.VerifierList(verifier))
	check(err)
	a.Text = opened.Text
	private, public, err := note.GenerateKey(rand.Reader, verifier.Name())
	check(err)
	signer, err := note.NewSigner(private)
	check(err)
	signed, err := note.Sign(&note.Note{Text: opened.Text}, signer)
	check(err)
	a.Note, a.Verifier = string(signed), public
	check(json.NewEncoder(os.Stdout).Encode(a))
}
