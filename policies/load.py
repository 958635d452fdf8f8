"""YAML in, `Policy` out. A missing, unknown, mistyped or repeated key is an error.

Aliases and anchors are refused, so a document is exactly as long as it looks.
"""

from collections.abc import Hashable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from attestation import EvidenceKind, KindRule, Policy, Reference
from mifeng.crypto import sm3

from .conditions import CelCondition, ConditionError
from .document import KindDocument, PolicyDocument, unix

MAX_POLICY_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 16
SHIPPED: Final = (
    "production-h100-tdx",
    "production-h100-snp",
    "production-hygon",
    "production-cpu-only",
    "unsafe-simulated",
)


class PolicyError(ValueError):
    """The document does not say exactly what a policy must say."""

    code: Final = "policy.document"


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe subset, less repeated keys and keys that are not text."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 - the base's
    ) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = (key_node.tag, key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key in seen or key_node.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, "keys are text and occur once", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_document(raw: bytes) -> PolicyDocument:
    """Return the validated document, tests included.

    Raises:
        PolicyError: not YAML, or keys are missing, unknown, repeated or of the wrong type.
    """
    if len(raw) > MAX_POLICY_BYTES:
        raise PolicyError(f"a policy has at most {MAX_POLICY_BYTES} bytes, this has {len(raw)}")
    try:
        _refuse_anchors(raw)
        tree = yaml.load(raw, Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
        return PolicyDocument.model_validate(tree)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise PolicyError(f"not strict YAML: {exc}") from exc
    except ValidationError as exc:
        raise PolicyError(str(exc)) from exc


def _refuse_anchors(raw: bytes) -> None:
    """Raise for anchors, aliases and deep nesting, before anything is built."""
    depth = 0
    for event in yaml.parse(raw, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.YAMLError(f"anchors and aliases are not part of a policy{event.start_mark}")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} levels{event.start_mark}")


def parse(raw: bytes) -> Policy:
    """Return the policy that `raw` states; its digest is SM3 of exactly these bytes.

    Raises:
        PolicyError: the document is not valid, or a condition does not compile.
    """
    document = parse_document(raw)
    return Policy(
        name=document.name,
        digest=sm3(raw),
        rules={kind: _rule(kind, rule) for kind, rule in document.kinds.items()},
        accelerators={kind: count for kind, count in document.accelerators.items() if count},
        min_tier=document.min_tier,
        max_evidence_age_s=document.max_evidence_age_s,
        max_keyset_life_s=document.max_keyset_life_s,
        unsafe_allow_simulated=document.unsafe_allow_simulated,
    )


def load(path: Path | str) -> Policy:
    """Return the policy in a file.

    Raises:
        PolicyError: see `parse`.
        OSError: the file cannot be read.
    """
    return parse(Path(path).read_bytes())


def shipped_bytes(name: str) -> bytes:
    """Return the document of a profile that comes with this package.

    Raises:
        PolicyError: there is no such profile.
    """
    if name not in SHIPPED:
        raise PolicyError(f"no shipped policy {name!r}; there are {', '.join(SHIPPED)}")
    return files(__package__).joinpath(f"{name}.yaml").read_bytes()


def shipped(name: str) -> Policy:
    """Return a profile that comes with this package; see `shipped_bytes`."""
    return parse(shipped_bytes(name))


def _rule(kind: EvidenceKind, document: KindDocument) -> KindRule:
    enrolled = None if document.enrolled == "any" else frozenset(document.enrolled)
    try:
        conditions = tuple(
            CelCondition.compile(each.expression, why=each.why) for each in document.conditions
        )
    except ConditionError as exc:
        raise PolicyError(f"kinds.{kind.value}.conditions: {exc}") from exc
    return KindRule(
        references={
            name: tuple(
                Reference(value=each.value, not_after=unix(each.not_after)) for each in accepted
            )
            for name, accepted in document.references.items()
        },
        unsafe_any_measurement=document.unsafe_any_measurement,
        tcb_statuses=frozenset(document.tcb_statuses),
        advisories=frozenset(document.advisories),
        minimums=document.minimums,
        values={name: frozenset(accepted) for name, accepted in document.values.items()},
        enrolled=enrolled,
        denied=frozenset(document.denied),
        conditions=conditions,
    )
