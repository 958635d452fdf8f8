"""CEL expressions over claims: rules that a table of values cannot say.

Needs the optional package `common-expression-language` (extra `cel`). Without it, a policy
with conditions does not load: a condition is never skipped.
"""

from dataclasses import dataclass, field
from typing import Protocol, cast

from attestation import Claims, Finding
from attestation.report import claims_json, status_json


class ConditionError(ValueError):
    """A condition cannot be compiled here."""


class _Program(Protocol):
    def execute(self, context: dict[str, object], /) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CelCondition:
    """One compiled expression; it holds only if it evaluates to exactly `true`."""

    expression: str
    why: str
    program: _Program = field(repr=False, compare=False)

    @classmethod
    def compile(cls, expression: str, *, why: str) -> "CelCondition":
        """Return the condition.

        Args:
            expression: CEL over `claims`, `status` and `tier`, e.g.
                `claims.details.vmpl == 0 && tier == "tee"`.
            why: what the rule is for; shown when it fails.

        Raises:
            ConditionError: it does not parse, or no CEL interpreter is installed.
        """
        try:
            import cel
        except ImportError as exc:
            raise ConditionError("conditions need the extra `mifeng[cel]`") from exc
        try:
            program = cel.compile(expression)
        except ValueError as exc:
            raise ConditionError(f"{expression!r}: {exc}") from exc
        return cls(expression=expression, why=why, program=cast("_Program", program))

    def check(self, claims: Claims) -> tuple[Finding, ...]:
        """See `attestation.policy.Condition`; an expression that fails to evaluate is false."""
        context = {
            "claims": claims_json(claims),
            "status": status_json(claims),
            "tier": claims.tier.label,
        }
        try:
            found = self.program.execute(context)
        except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError) as exc:
            found = f"{type(exc).__name__}: {exc}"
        if found is True:
            return ()
        return (Finding("policy.condition", self.why, self.expression, str(found)),)
