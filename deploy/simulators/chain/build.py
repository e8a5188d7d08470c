"""Compiles the test token: `python -m deploy.simulators.chain.build` writes TestUSDT.json from TestUSDT.sol with npm's solc."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = HERE / "TestUSDT.sol"
ARTIFACT = HERE / "TestUSDT.json"
CONTRACT = "TestUSDT"
ROOT = HERE.parents[2]
COMPILER = ROOT / "node_modules" / "solc" / "solc.js"

# No metadata at the end of the bytecode, so that the same source gives the same bytes whatever its path is.
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "paris",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {"*": {CONTRACT: ["abi", "evm.bytecode.object"]}},
}


class CompileError(RuntimeError):
    """The compiler refused the source."""


def compiler_installed() -> bool:
    """Tell whether `npm ci` has brought the compiler."""
    return COMPILER.exists()


def compile_token() -> dict[str, Any]:
    """Compile the source and give the artifact; raises CompileError."""
    source = SOURCE.read_text()
    order = {"language": "Solidity", "sources": {SOURCE.name: {"content": source}}, "settings": SETTINGS}
    answer = json.loads(_solc("--standard-json", given=json.dumps(order)))
    faults = [fault["formattedMessage"] for fault in answer.get("errors", []) if fault["severity"] == "error"]
    if faults:
        raise CompileError("\n".join(faults))
    contract = answer["contracts"][SOURCE.name][CONTRACT]
    return {
        "contract": CONTRACT,
        "source": SOURCE.name,
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "compiler": "solc " + _solc("--version").strip(),
        "settings": SETTINGS,
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
    }


def _solc(argument: str, given: str = "") -> str:
    done = subprocess.run(["node", str(COMPILER), argument], input=given, capture_output=True, text=True, check=True, timeout=120)
    # The JavaScript build prints a line about its own callback before the answer.
    return done.stdout[done.stdout.index("{") :] if "json" in argument else done.stdout


def main() -> int:
    """Write the artifact."""
    if not compiler_installed():
        print("solc is not installed: run `npm ci` in the project's root first", file=sys.stderr)
        return 1
    ARTIFACT.write_text(json.dumps(compile_token(), indent=1) + "\n")
    print(f"wrote {ARTIFACT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
