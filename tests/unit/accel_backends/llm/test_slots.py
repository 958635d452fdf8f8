"""The scheduler: who runs when, what is shared and wiped. Mostly on a decoder of arithmetic."""

from collections.abc import Callable, Sequence

import pytest

from accel_backends.errors import ClosedError, ExecutionError
from accel_backends.llm import ContextError, Limits, QueueFullError, Reason, SlotEngine
from accel_backends.llm.decoder import Logits, OrtDecoder
from accel_backends.llm.rows import shared_prefix

from .conftest import ONE, TWO, FakeDecoder, Tokens, finish, limits, request


def make(**more: int) -> tuple[SlotEngine, FakeDecoder]:
    """Return an engine on the arithmetic decoder."""
    bounds = limits(**more)
    decoder = FakeDecoder(bounds)
    return SlotEngine(decoder, bounds), decoder


def expected(prompt: list[int], count: int) -> list[int]:
    """Return what the arithmetic decoder must answer."""
    held = list(prompt)
    for _ in range(count):
        held.append(sum(held) % 50)
    return held[len(prompt) :]


def test_answers_are_those_of_the_model_for_many_requests_over_few_slots() -> None:
    """Twenty requests of different lengths over four rows each get their own answer."""
    engine, decoder = make()
    sinks = []
    for n in range(20):
        prompt = list(range(n + 1))
        sinks.append((Tokens(), prompt, n % 7 + 1))
        engine.submit(request(prompt, most=n % 7 + 1), sinks[-1][0])
    finish(engine)
    for sink, prompt, most in sinks:
        assert sink.tokens == expected(prompt, most)
        assert sink.end is not None
        assert sink.end[0] is Reason.LENGTH
        assert (sink.end[1].prompt, sink.end[1].completion) == (len(prompt), most)
    assert not decoder.rows.any()


def test_a_late_short_request_finishes_before_an_early_long_one() -> None:
    """Requests join between two steps of a running batch."""
    engine, _ = make()
    order: list[str] = []
    engine.submit(request([1], most=40), early := Tokens("early", order))
    for _ in range(5):
        engine.step(0)
    engine.submit(request([2], most=3), late := Tokens("late", order))
    while late.end is None:
        engine.step(0)
    assert early.end is None
    assert len(early.tokens) < 12
    finish(engine)
    assert (early.tokens, late.tokens) == (expected([1], 40), expected([2], 3))


def test_a_long_prompt_costs_a_step_no_more_than_the_budget() -> None:
    """While a prompt of 40 tokens is computed, the other row still gets a token every step."""
    engine, decoder = make()
    engine.submit(request([1], most=30), busy := Tokens())
    engine.step(0)
    engine.submit(request(range(40), most=1), long := Tokens())
    while long.end is None:
        had, decoder.calls = len(busy.tokens), []
        engine.step(0)
        spent = sum(len(call[2]) for call in decoder.calls if call[0] == "prefill")
        assert spent <= 8
        assert len(busy.tokens) == had + 1
    chunks = [call[3] for call in decoder.calls if call[0] == "prefill"]
    assert all(at % 4 == 0 for at in chunks)


def test_two_long_prompts_take_turns() -> None:
    """Chunks alternate between rows whose prompts are unfinished."""
    engine, decoder = make()
    for _ in range(2):
        engine.submit(request(range(16)), Tokens())
    engine.step(0)
    engine.step(0)
    rows = [call[1] for call in decoder.calls if call[0] == "prefill"]
    assert rows == [0, 1, 0, 1]


def test_domains_take_turns_for_slots() -> None:
    """A domain with ten requests lets another domain's first one through after one of its own."""
    engine, _ = make(slots=1)
    order: list[str] = []
    for _ in range(10):
        engine.submit(request([1], most=1), Tokens("many", order))
    engine.submit(request([1], most=1, isolation=TWO), Tokens("one", order))
    finish(engine)
    assert order == ["many", "one", *["many"] * 9]


def test_tenants_take_turns_however_many_domains_they_have() -> None:
    """Requests without a shared isolation are domains of their own, and still one tenant's."""
    engine, _ = make(slots=1)
    order: list[str] = []
    for n in range(10):
        isolation = n.to_bytes(32, "big")
        engine.submit(request([1], most=1, isolation=isolation, tenant="many"), Tokens("m", order))
    engine.submit(request([1], most=1, isolation=ONE, tenant="one"), Tokens("o", order))
    finish(engine)
    assert order == ["m", "o", *["m"] * 9]


def test_domains_of_one_tenant_take_turns() -> None:
    """Inside a tenant, a domain with many requests delays its own."""
    engine, _ = make(slots=1)
    order: list[str] = []
    for _ in range(3):
        engine.submit(request([1], most=1, tenant="t"), Tokens("a", order))
    engine.submit(request([1], most=1, tenant="t", isolation=TWO), Tokens("b", order))
    engine.submit(request([1], most=1, tenant="u"), Tokens("c", order))
    finish(engine)
    assert order == ["a", "c", "b", "a", "a"]


def test_a_tenant_has_no_more_slots_than_its_quota() -> None:
    """Domains do not multiply a tenant's slots, and a row given back is had at once."""
    engine, _ = make(per_tenant=2)
    for n in range(4):
        isolation = n.to_bytes(32, "big")
        most = 2 if n == 0 else 20
        engine.submit(request([1], most=most, isolation=isolation, tenant="many"), Tokens())
    engine.step(0)
    engine.submit(request([1], most=20, tenant="one"), Tokens())
    engine.step(0)
    assert (engine.active, engine.waiting) == (3, 1)  # two of the tenant's, one of the other's
    finish(engine)


def test_idle_requests_go_after_all_others() -> None:
    """Whoever came first: an idle request gets a row when no other waits for one."""
    engine, _ = make(slots=1)
    order: list[str] = []
    for _ in range(2):
        engine.submit(request([1], most=1, idle=True), Tokens("idle", order))
    for _ in range(3):
        engine.submit(request([1], most=1, tenant="one"), Tokens("one", order))
    finish(engine)
    assert order == [*["one"] * 3, *["idle"] * 2]


def test_idle_requests_leave_a_row() -> None:
    """However many idle requests run, the next one that is not idle starts in the next step."""
    engine, _ = make(slots=4)
    for _ in range(6):
        engine.submit(request([1], most=20, idle=True), Tokens())
    engine.step(0)
    assert (engine.active, engine.waiting) == (3, 3)
    engine.submit(request([1], most=1), urgent := Tokens())
    engine.step(0)
    assert urgent.end is not None
    assert engine.active == 3
    finish(engine)


def test_idle_requests_end_like_others() -> None:
    """Cancelled, too late or closed while they wait: each is told."""
    engine, _ = make(slots=1)
    engine.submit(request([1], most=20), Tokens())
    gone = engine.submit(request([1], idle=True), cancelled := Tokens())
    engine.submit(request([1], idle=True, deadline=5.0), late := Tokens())
    engine.submit(request([1], idle=True), closed := Tokens())
    engine.step(0)
    engine.cancel(gone)
    engine.step(6)
    engine.close()
    ends = [sink.end[0] for sink in (cancelled, late, closed) if sink.end is not None]
    assert ends == [Reason.CANCELLED, Reason.DEADLINE, Reason.CANCELLED]
    assert engine.waiting == 0


def test_a_tenant_s_name_shares_nothing() -> None:
    """The same prompt under the same tenant misses unless the isolation is the same."""
    engine, _ = make(kept=2)
    cached = []
    for tenant, isolation in (("a", ONE), ("a", TWO), ("b", ONE)):
        engine.submit(request(range(14), tenant=tenant, isolation=isolation), sink := Tokens())
        finish(engine)
        assert sink.end is not None
        cached.append(sink.end[1].cached)
    # The third hits: whoever has the sealed secret is one client, whatever the label says.
    assert cached == [0, 0, 12]


def test_waiting_requests_of_one_tenant_can_leave_in_any_order() -> None:
    """Cancelling in the middle of a lane keeps the others and forgets empty lanes."""
    engine, _ = make(slots=1)
    order: list[str] = []
    tickets = [
        engine.submit(request([1], most=1, tenant="t"), Tokens(str(n), order)) for n in range(4)
    ]
    for number in (1, 3):
        engine.cancel(tickets[number])
    finish(engine)
    assert order == ["0", "2"]
    assert engine.waiting == 0


def test_five_hundred_requests_are_served_in_order() -> None:
    """With equal work, first tokens come in the order of arrival, and the last wait is bounded."""
    engine, _ = make(slots=16)
    first: list[str] = []
    for n in range(500):
        sink = Tokens(str(n), first)
        engine.submit(request([n % 50], most=1, isolation=n.to_bytes(32, "big")), sink)
    finish(engine)
    assert first == [str(n) for n in range(500)]


def test_a_domain_has_no_more_slots_than_its_quota() -> None:
    """Rows beyond the quota stay free for other domains even when requests wait."""
    engine, _ = make(per_isolation=2)
    for _ in range(4):
        engine.submit(request([1], most=20), Tokens())
    engine.step(0)
    assert (engine.active, engine.waiting) == (2, 2)
    engine.submit(request([1], most=20, isolation=TWO), Tokens())
    engine.step(0)
    assert (engine.active, engine.waiting) == (3, 2)


def test_cancelling_frees_the_row_at_the_next_step() -> None:
    """The row of a cancelled request is wiped and given to the one that waits."""
    engine, decoder = make(slots=1)
    ticket = engine.submit(request([9, 9, 9], most=50), gone := Tokens())
    engine.submit(request([1], most=2), waits := Tokens())
    engine.step(0)
    assert decoder.rows.any()
    engine.cancel(ticket)
    engine.step(0)
    assert gone.end is not None
    assert gone.end[0] is Reason.CANCELLED
    assert waits.tokens == expected([1], 2)
    assert not decoder.rows.any()


def test_a_waiting_request_can_be_cancelled() -> None:
    """It leaves the queue without ever getting a row."""
    engine, _ = make(slots=1)
    engine.submit(request([1], most=5), Tokens())
    ticket = engine.submit(request([2]), gone := Tokens())
    engine.cancel(ticket)
    engine.step(0)
    assert gone.end is not None
    assert gone.end[0] is Reason.CANCELLED
    assert engine.waiting == 0


def test_a_deadline_ends_running_and_waiting_requests() -> None:
    """Both are told, and what was answered so far stands."""
    engine, decoder = make(slots=1)
    engine.submit(request([1], most=50, deadline=10.0), runs := Tokens())
    engine.submit(request([1], deadline=10.0), waits := Tokens())
    engine.step(9.9)
    assert runs.tokens
    engine.step(10.0)
    assert runs.end is not None
    assert waits.end is not None
    assert (runs.end[0], waits.end[0]) == (Reason.DEADLINE, Reason.DEADLINE)
    assert not decoder.rows.any()


def test_stop_tokens_and_the_sink_end_an_answer() -> None:
    """A stop token is not part of the answer; a sink's word ends it with the token it took."""
    engine, _ = make()
    engine.submit(request([4], most=9, stop=frozenset({8})), stopped := Tokens())
    sink = Tokens()
    sink.stop_at = 2
    engine.submit(request([4], most=9), sink)
    finish(engine)
    assert stopped.tokens == [4]
    assert sink.tokens == expected([4], 2)
    assert stopped.end is not None
    assert sink.end is not None
    assert (stopped.end[0], sink.end[0]) == (Reason.STOP, Reason.STOP)


def test_an_answer_ends_with_its_context() -> None:
    """Prompt and answer never exceed the row."""
    engine, _ = make()
    engine.submit(request([1] * 60, most=50), sink := Tokens())
    finish(engine)
    assert len(sink.tokens) == 4


def test_a_failing_device_fails_the_requests_in_the_batch_only() -> None:
    """Rows are wiped, and the engine serves the next request."""
    engine, decoder = make()
    engine.submit(request([3], most=9), sink := Tokens())
    engine.step(0)
    decoder.broken = True
    engine.step(0)
    assert sink.end is not None
    assert sink.end[0] is Reason.FAILED
    assert not decoder.rows.any()
    decoder.broken = False
    engine.submit(request([3], most=2), after := Tokens())
    finish(engine)
    assert after.tokens == expected([3], 2)


def test_a_failing_device_leaves_nothing_in_rows_that_padded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that wrote before it failed is wiped where nobody had a token too."""
    engine, decoder = make()
    for _ in range(3):
        engine.submit(request([3], most=9), Tokens())
    engine.step(0)
    real = decoder.decode

    def writes_then_fails(tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        real(tokens, lengths)
        raise ExecutionError("broken")

    monkeypatch.setattr(decoder, "decode", writes_then_fails)
    engine.step(0)
    assert engine.active == 0
    assert not decoder.rows.any()


def test_requests_that_cannot_run_are_refused_at_once() -> None:
    """No prompt, no room, too many waiting, closed."""
    engine, _ = make(waiting=1)
    for prompt, most in (((), 1), (range(64), 1), ((1,), 0)):
        with pytest.raises(ContextError):
            engine.submit(request(prompt, most=most), Tokens())
    engine.submit(request([1]), left := Tokens())
    with pytest.raises(QueueFullError):
        engine.submit(request([1]), Tokens())
    engine.close()
    assert left.end is not None
    with pytest.raises(ClosedError):
        engine.submit(request([1]), Tokens())


def test_closing_ends_and_wipes_everything() -> None:
    """Running and waiting requests are cancelled; no row holds anything."""
    engine, decoder = make(slots=1, kept=1)
    sinks = [Tokens(), Tokens()]
    for sink in sinks:
        engine.submit(request([7] * 9, most=50), sink)
    engine.step(0)
    engine.step(0)
    engine.close()
    assert all(sink.end is not None and sink.end[0] is Reason.CANCELLED for sink in sinks)
    assert not decoder.rows.any()


def test_the_batch_shrinks_when_low_rows_become_free() -> None:
    """A request in a high row moves down, its old row is wiped, and its answer does not change."""
    engine, decoder = make()
    for _ in range(3):
        engine.submit(request([1], most=2), Tokens())
    engine.submit(request([5, 6], most=12), sink := Tokens())
    finish(engine)
    assert sink.tokens == expected([5, 6], 12)
    assert any(call[0] == "copy" for call in decoder.calls)
    sizes = [len(call[1]) for call in decoder.calls if call[0] == "decode"]
    assert (sizes[0], sizes[-1]) == (4, 1)
    assert not decoder.rows.any()


# Prefixes.


@pytest.mark.parametrize(
    ("owner", "held", "size"),
    [
        (ONE, list(range(20)), 12),
        (ONE, list(range(10)), 8),
        (ONE, [0, 1, 2, 3, 9, 9, 9, 9], 4),
        (ONE, [9, 1, 2, 3], 0),
        (TWO, list(range(20)), 0),
        (ONE[:-1] + b"2", list(range(20)), 0),
    ],
)
def test_the_key_of_a_prefix_is_the_isolation_and_the_tokens(
    owner: bytes, held: list[int], size: int
) -> None:
    """Only whole chunks, never the last token, and nothing at all for another domain."""
    assert shared_prefix(ONE, list(range(14)), owner, held, chunk=4) == size


def test_a_prefix_is_reused_inside_a_domain_only() -> None:
    """The same prompt hits in its own domain (positive control) and misses in another."""
    engine, decoder = make(kept=2)
    prompt = list(range(14))
    ends = []
    for isolation in (ONE, TWO, ONE):
        decoder.calls = []
        engine.submit(request(prompt, isolation=isolation), sink := Tokens())
        finish(engine)
        assert sink.tokens == expected(prompt, 3)
        assert sink.end is not None
        computed = sum(len(call[2]) for call in decoder.calls if call[0] == "prefill")
        ends.append((sink.end[1].cached, computed))
    assert ends == [(0, 14), (0, 14), (12, 2)]


def test_a_prefix_is_shared_with_a_request_that_still_runs() -> None:
    """The second of two requests of one domain copies what the first has computed."""
    engine, _decoder = make()
    prompt = list(range(14))
    engine.submit(request(prompt, most=30), Tokens())
    engine.step(0)
    engine.step(0)
    engine.submit(request(prompt), same := Tokens())
    engine.submit(request(prompt, isolation=TWO), other := Tokens())
    finish(engine)
    assert same.end is not None
    assert other.end is not None
    assert (same.end[1].cached, other.end[1].cached) == (12, 0)
    assert same.tokens == other.tokens == expected(prompt, 3)


def test_nothing_is_kept_unless_configured() -> None:
    """By default the second request computes everything, and rows are blank in between."""
    engine, decoder = make()
    for _ in range(2):
        engine.submit(request(range(14)), sink := Tokens())
        finish(engine)
        assert not decoder.rows.any()
    assert sink.end is not None
    assert sink.end[1].cached == 0


def test_kept_prefixes_give_way() -> None:
    """At most `kept` rows stay, the oldest goes first, and a full engine takes them back."""
    engine, decoder = make(slots=2, kept=1)
    for start in (0, 20):
        engine.submit(request(range(start, start + 9)), Tokens())
        finish(engine)
    assert sum(map(bool, decoder.rows.any(axis=1))) == 1
    sinks = [Tokens(), Tokens()]
    for n, sink in enumerate(sinks):
        engine.submit(request([n + 1], isolation=TWO), sink)
    engine.step(0)
    assert engine.active == 2
    finish(engine)
    assert not decoder.rows.any()


def test_a_kept_row_holds_the_prompt_and_nothing_of_the_answer() -> None:
    """What stays is the whole chunks of the prompt."""
    engine, decoder = make(kept=1)
    engine.submit(request(range(1, 12), most=9), Tokens())
    finish(engine)
    assert decoder.rows[0].tolist() == [*range(1, 9), *[0] * 56]


def beyond(decoder: FakeDecoder, row: int, held: int) -> list[int]:
    """Return what a row holds behind its tokens."""
    found: list[int] = decoder.rows[row, held:].tolist()
    return found


@pytest.mark.parametrize(("isolation", "prompt"), [(TWO, [3]), (ONE, [1, 2, 3, 4, 9])])
def test_a_kept_row_that_is_taken_holds_nothing_of_its_past(
    isolation: bytes, prompt: list[int]
) -> None:
    """Whoever gets it, of another domain or sharing a part only, finds no token beyond the part."""
    engine, decoder = make(slots=1, kept=1)
    engine.submit(request(range(1, 14), most=1), Tokens())
    finish(engine)
    assert decoder.rows[0, :12].all()
    engine.submit(request(prompt, most=3, isolation=isolation), Tokens())
    engine.step(0)
    assert decoder.rows[0, : len(prompt)].tolist() == prompt
    assert not any(beyond(decoder, 0, len(prompt) + 1))
    finish(engine)


def test_padding_leaves_nothing_in_a_row_nobody_uses() -> None:
    """A batch of four over three requests pads a row; it is blank after every step."""
    engine, decoder = make()
    for most in (9, 2, 9):
        engine.submit(request([7], most=most), Tokens())
    while engine.step(0):
        used = {call for call in range(4) if decoder.rows[call].any()}
        assert len(used) == engine.active
    assert not decoder.rows.any()


def test_padding_leaves_nothing_behind_an_unfinished_prompt() -> None:
    """A row whose prompt is being computed is padded too, and holds its prompt alone."""
    engine, decoder = make()
    engine.submit(request([7], most=30), Tokens())
    engine.submit(request([3] * 40, most=1), long := Tokens())
    while True:
        engine.step(0)
        filled = sum(len(call[2]) for call in decoder.calls if call[:2] == ("prefill", 1))
        if long.end is not None:
            break
        assert decoder.rows[1, :filled].all()
        assert not any(beyond(decoder, 1, filled))
    assert filled == 40


def test_padding_leaves_nothing_behind_a_kept_prefix() -> None:
    """A row that only keeps a prompt is padded in every batch above it, and stays that prompt."""
    engine, decoder = make(kept=1)
    engine.submit(request(range(1, 10), most=2), Tokens())
    engine.submit(request([5], most=30, isolation=TWO), Tokens())
    for _ in range(8):
        engine.step(0)
    assert engine.active == 1
    assert decoder.rows[0].tolist() == [*range(1, 9), *[0] * 56]


def test_the_real_rows_hold_nothing_behind_their_tokens(
    tiny: Callable[[Limits], OrtDecoder],
) -> None:
    """The same of keys and values: kept and unfinished rows are zero from their length on."""
    bounds = limits(kept=1)
    decoder = tiny(bounds)
    engine = SlotEngine(decoder, bounds)
    engine.submit(request(range(1, 10), most=2), Tokens())
    engine.submit(request([5], most=30, isolation=TWO), Tokens())
    for _ in range(8):
        engine.step(0)
    engine.submit(request([6] * 40, most=1, isolation=TWO), Tokens())
    engine.step(0)
    for buffer in decoder._buffers.values():
        assert buffer[0, :, :8].any()
        assert not buffer[0, :, 8:].any()
        assert buffer[2, :, :8].any()
        assert not buffer[2, :, 8:].any()
    engine.close()
    assert all(decoder.blank(row) for row in range(bounds.slots))
    decoder.close()


def test_what_a_step_was_bound_to_is_forgotten(tiny: Callable[[Limits], OrtDecoder]) -> None:
    """Neither logits nor token ids of the last step outlive `forget`."""
    bounds = limits()
    decoder = tiny(bounds)
    engine = SlotEngine(decoder, bounds)
    engine.submit(request([5], most=4), Tokens())
    finish(engine)
    assert decoder._scratch.any()
    assert any(bound.ids.any() for bound in decoder._bounds.values())
    decoder.forget()
    assert not decoder._scratch.any()
    assert not any(bound.ids.any() for bound in decoder._bounds.values())
    decoder.close()


def test_the_real_buffers_are_blank_after_a_request(tiny: Callable[[Limits], OrtDecoder]) -> None:
    """Every key and value is zero in finished and cancelled rows, and in one nobody used."""
    bounds = limits()
    decoder = tiny(bounds)
    engine = SlotEngine(decoder, bounds)
    ticket = engine.submit(request([5] * 10, most=40), Tokens())
    for most in (4, 6):
        engine.submit(request([6] * 10, most=most), Tokens())
    for _ in range(3):
        engine.step(0)
    assert engine.active == 3
    assert decoder.blank(3)  # though batches of four were run
    assert not decoder.blank(0)
    engine.cancel(ticket)
    finish(engine)
    assert all(decoder.blank(row) for row in range(bounds.slots))
    decoder.close()
