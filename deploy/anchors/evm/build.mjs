// Compile MifengAnchor.sol: `node build.mjs` writes MifengAnchor.json, `node build.mjs --check`
// exits 1 if what is written differs from what the source compiles to. Run `npm install` first, or
// name a folder that has the packages: NODE_PATH=<folder>/node_modules.
import { readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const here = (name) => new URL(name, import.meta.url);
const solc = require("solc");
const NAME = "MifengAnchor";
const source = readFileSync(here(`${NAME}.sol`), "utf8");

// "paris" has no PUSH0, so older and private chains run the same bytes; no metadata hash, so the
// bytes depend on nothing but source, compiler and these settings.
const settings = {
  evmVersion: "paris",
  optimizer: { enabled: true, runs: 10000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};
const input = { language: "Solidity", sources: { [`${NAME}.sol`]: { content: source } }, settings };
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const problems = output.errors ?? [];
for (const problem of problems) console.error(problem.formattedMessage);
if (problems.length) process.exit(1);

const contract = output.contracts[`${NAME}.sol`][NAME];
const built = {
  contract: NAME,
  compiler: solc.version(),
  settings: { evmVersion: settings.evmVersion, optimizer: settings.optimizer, metadata: settings.metadata },
  source_sha256: createHash("sha256").update(source).digest("hex"),
  abi: contract.abi,
  bytecode: contract.evm.bytecode.object,
  runtime: contract.evm.deployedBytecode.object,
};
const text = JSON.stringify(built, null, 2) + "\n";
const target = here(`${NAME}.json`);
if (process.argv.includes("--check")) {
  const same = readFileSync(target, "utf8") === text;
  console.log(same ? "unchanged" : `${NAME}.json is not what the source compiles to`);
  process.exit(same ? 0 : 1);
}
writeFileSync(target, text);
console.log(`${NAME}.json: ${built.bytecode.length / 2} bytes, ${built.compiler}`);
