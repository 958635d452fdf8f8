#!/usr/bin/env bash
# Installs the engines of others that test_engines.py runs, each in an environment of its own under
# .cache/engines, none in the project's. Minutes, once; llama.cpp is built from source.
#
#   tests/interop/engines/setup.sh [transformers|llamacpp|genai]...
#   MIFENG_ENGINES=1 python -m pytest tests/interop/engines
set -euo pipefail
cd "$(dirname "$0")/../../.."
base=.cache/engines

make_venv() { # name, then what pip installs
  local name=$1; shift
  [ -e "$base/$name/.ready" ] && return
  python3 -m venv "$base/$name"
  nice -n 10 "$base/$name/bin/pip" install -q --disable-pip-version-check "$@"
  touch "$base/$name/.ready"
}

for engine in "${@:-transformers llamacpp genai}"; do
  for name in $engine; do
    case $name in
      # This exact version is built for CPUs; others bring gigabytes of CUDA.
      transformers) make_venv transformers torch==2.13.0 "transformers[serving]==5.23.0" ;;
      llamacpp) make_venv llamacpp "llama-cpp-python[server]==0.3.36" ;;
      genai) make_venv genai onnxruntime-genai==0.18.0 ;;
      *) echo "unknown engine: $name" >&2; exit 2 ;;
    esac
    echo "$name: $base/$name"
  done
done
