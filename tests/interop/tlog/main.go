// Read a published log with golang.org/x/mod/sumdb/{note,tlog}: the note, every tile, every entry,
// proofs made here, and proofs made by the log.
//
//	main VERIFIER_KEY DIRECTORY PROOFS
//
// PROOFS is JSON: {"inclusion": [[hash, …], …], "consistency": [[hash, …], …]}, hashes in base64,
// one path for each entry, one from each smaller size.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type directory string

func (directory) Height() int { return 8 }

func (directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		// c2sp.org/tlog-tiles leaves the height out of the path.
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(d), path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func entries(dir string, size int64) ([][]byte, error) {
	var found [][]byte
	for low := int64(0); low < size; low += 256 {
		tile := tlog.Tile{H: 8, L: 0, N: low / 256, W: 256}
		if size-low < 256 {
			tile.W = int(size - low)
		}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return nil, err
		}
		for len(data) >= 2 {
			end := 2 + int(binary.BigEndian.Uint16(data))
			found = append(found, data[2:end])
			data = data[end:]
		}
	}
	return found, nil
}

func hashes(texts []string) ([]tlog.Hash, error) {
	found := []tlog.Hash{}
	for _, text := range texts {
		hash, err := tlog.ParseHash(text)
		if err != nil {
			return nil, err
		}
		found = append(found, hash)
	}
	return found, nil
}

func run(key, dir, proofs string) error {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return err
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		return err
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], raw)
	reader := tlog.TileHashReader(tree, directory(dir))
	leaves, err := entries(dir, size)
	if err != nil {
		return err
	}
	if int64(len(leaves)) != size {
		return fmt.Errorf("%d entries, the checkpoint says %d", len(leaves), size)
	}
	var ours struct{ Inclusion, Consistency [][]string }
	data, err = os.ReadFile(proofs)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &ours); err != nil {
		return err
	}
	for i, leaf := range leaves {
		index, hash := int64(i), tlog.RecordHash(leaf)
		made, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			return err
		}
		given, err := hashes(ours.Inclusion[i])
		if err != nil {
			return err
		}
		for _, path := range []tlog.RecordProof{made, given} {
			if err := tlog.CheckRecord(path, size, tree.Hash, index, hash); err != nil {
				return fmt.Errorf("entry %d: %v", i, err)
			}
		}
		old := index + 1
		root, err := tlog.TreeHash(old, reader)
		if err != nil {
			return err
		}
		grown, err := tlog.ProveTree(size, old, reader)
		if err != nil {
			return err
		}
		given, err = hashes(ours.Consistency[i])
		if err != nil {
			return err
		}
		for _, path := range []tlog.TreeProof{grown, given} {
			if err := tlog.CheckTree(path, size, tree.Hash, old, root); err != nil {
				return fmt.Errorf("from %d: %v", old, err)
			}
		}
	}
	fmt.Printf("%s %d\n", lines[0], size)
	return nil
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
