"""`mifeng admin …`: what administrators do, each action with the token of its one role.

The gateway appends every action to its log before it happens, also one that it refuses.

Source: docs/privacy.md §5.
"""

import json
from pathlib import Path
from typing import Any, Final

import click
import httpx

from mifeng.audit.subjects import SubjectKey
from mifeng.errors import MalformedError, RefusedError, TransportError, UsageError
from mifeng.protocol import jsonc

from .options import print_json

TIMEOUT_S: Final = 60.0
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


class Office:
    """A gateway's address for administrators, with one token."""

    def __init__(self, url: str | None, token: Path | None, ca: Path | None = None) -> None:
        self._url, self._token, self._ca = url, token, ca

    def _client(self) -> httpx.Client:
        url, token, ca = self._url, self._token, self._ca
        if url is None or token is None:
            raise UsageError("administration: name --gateway and --token-file")
        try:
            secret = token.read_text("utf-8").strip()
        except (OSError, ValueError) as exc:
            raise UsageError(f"{token}: cannot be read") from exc
        socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        transport = httpx.HTTPTransport(uds=socket) if socket else None
        return httpx.Client(
            base_url="http://administration" if socket else url,
            transport=transport,
            verify=str(ca) if ca else True,
            headers={"authorization": f"Bearer {secret}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def ask(self, verb: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - passed on
        """Return the gateway's answer.

        Raises:
            RefusedError: with the gateway's code, such as `admin.role`.
            TransportError: it cannot be reached.
        """
        try:
            with self._client() as client:
                answer = client.request(verb, path, **more)
        except httpx.HTTPError as exc:
            raise TransportError(f"administration: {type(exc).__name__}") from exc
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
            raise RefusedError(str(problem["code"]), str(problem.get("detail", problem["title"])))
        except (ValueError, KeyError, TypeError) as exc:
            raise MalformedError(f"administration: HTTP {answer.status_code}") from exc

    def json(self, verb: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
        """Return the gateway's answer as JSON."""
        try:
            return self.ask(verb, path, **more).json()
        except ValueError as exc:
            raise MalformedError("administration: not JSON") from exc


@click.group("admin")
@click.option("--gateway", envvar="MIFENG_ADMIN", help="unix:PATH or https://…")
@click.option(
    "--token-file",
    type=_file,
    envvar="MIFENG_ADMIN_TOKEN_FILE",
    help="File with your token (`mifeng keys admin` makes one).",
)
@click.option("--ca", type=_file, help="CA bundle, for https.")
@click.pass_context
def command(
    ctx: click.Context, gateway: str | None, token_file: Path | None, ca: Path | None
) -> None:
    """Do what belongs to your role: system, security or audit; the log records it."""
    ctx.obj = Office(gateway, token_file, ca)


@command.command("status")
@click.pass_obj
def status(office: Office) -> None:
    """Show whether the gateway runs. [system]."""
    print_json(office.json("GET", "/v1/admin/status"))


@command.command("drain")
@click.pass_obj
def drain(office: Office) -> None:
    """Let the gateway finish and stop. [system]."""
    print_json(office.json("POST", "/v1/admin/drain"))


@command.command("policy")
@click.pass_obj
def policy(office: Office) -> None:
    """Print the policy in force. [security]."""
    click.echo(office.ask("GET", "/v1/admin/policy").text, nl=False)


@command.command("forwarding")
@click.pass_obj
def forwarding(office: Office) -> None:
    """Show what was sent to security centres, and what was dropped. [security]."""
    print_json(office.json("GET", "/v1/admin/forwarding"))


@command.command("expire")
@click.argument("node")
@click.pass_obj
def expire(office: Office, node: str) -> None:
    """Use NODE's present keyset no longer; it is appraised anew. [security]."""
    print_json(office.json("POST", f"/v1/admin/nodes/{node}/expire"))


_subject = click.option("--subject", help="Commitment, as entries carry it: 64 hex digits.")
_tenant = click.option("--tenant", help="Whose reference it is, with --reference.")
_reference = click.option("--reference", help="The tenant's reference: 64 hex digits.")


@command.command("erase")
@_subject
@_tenant
@_reference
@click.option(
    "--reason",
    type=click.Choice(["data-subject", "tenant", "retention", "court-order"]),
    default="data-subject",
    show_default=True,
    help="Why; stands in the log.",
)
@click.pass_obj
def erase(
    office: Office, subject: str | None, tenant: str | None, reference: str | None, reason: str
) -> None:
    """Destroy a person's key for good. [security]."""
    print_json(erased(office, subject, tenant, reference, reason))


def erased(
    office: Office, subject: str | None, tenant: str | None, reference: str | None, reason: str
) -> Any:  # noqa: ANN401 - JSON
    """Erase a person and return what the gateway says."""
    body = _person(subject, tenant, reference) | {"reason": reason}
    return office.json("POST", "/v1/admin/subjects/erase", json=body)


@command.command("open")
@_subject
@_tenant
@_reference
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Key file to make.")
@click.pass_obj
def disclose(
    office: Office, subject: str | None, tenant: str | None, reference: str | None, out: Path
) -> None:
    """Get a person's key, to open what a pack holds about them. [audit]."""
    answer = office.json(
        "POST", "/v1/admin/subjects/open", json=_person(subject, tenant, reference)
    )
    try:
        key = SubjectKey(subject=bytes.fromhex(answer["subject"]), key=bytes.fromhex(answer["key"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise MalformedError("administration: not a person's key") from exc
    try:
        with out.open("xb") as file:
            out.chmod(0o600)
            file.write(key.encode() + b"\n")
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc
    print_json({"subject": answer["subject"], "key_file": str(out)})


@command.command("entries")
@click.argument("low", type=click.IntRange(min=0))
@click.argument("high", type=click.IntRange(min=1))
@click.pass_obj
def entries(office: Office, low: int, high: int) -> None:
    """Print entries LOW to HIGH (not included) as JSON lines. [audit]."""
    from base64 import b64decode

    answer = office.json("GET", "/v1/admin/log/entries", params={"low": low, "high": high})
    for index, entry in enumerate(answer["entries"], low):
        document = jsonc.loads(b64decode(entry), limit=1 << 20)
        click.echo(json.dumps({"index": index, "entry": document}, ensure_ascii=False))


@command.command("export")
@click.option("--scope", default="all", show_default=True, help="What is exported, in words.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the checkpoint note here.")
@click.pass_obj
def export(office: Office, scope: str, out: Path | None) -> None:
    """Put on record that you export a pack; gives the checkpoint to export under. [audit]."""
    answer = office.json("POST", "/v1/admin/log/export", json={"scope": scope})
    note = str(answer["checkpoint"])
    if out is None:
        click.echo(note, nl=False)
        return
    try:
        out.write_text(note, "utf-8")
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc


@command.command("administrators")
@click.pass_obj
def administrators(office: Office) -> None:
    """List who holds which role, and how the log calls them. [audit]."""
    print_json(office.json("GET", "/v1/admin/administrators"))


def _person(subject: str | None, tenant: str | None, reference: str | None) -> dict[str, str]:
    if subject is not None and tenant is None and reference is None:
        return {"subject": subject}
    if subject is None and tenant is not None and reference is not None:
        return {"tenant": tenant, "reference": reference}
    raise UsageError("name --subject, or --tenant with --reference")
