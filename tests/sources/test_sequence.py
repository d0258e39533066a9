"""Sequence numbers against a brute-force account of what was sent and what arrived."""

from hypothesis import given
from hypothesis import strategies as st

from bmi_runtime.sources.sequence import Sequence, Verdict


def test_in_order_nothing_is_counted():
    sequence = Sequence()
    assert all(sequence.take(7, number) is Verdict.NEW for number in range(5, 500))
    assert (sequence.lost, sequence.duplicates, sequence.reordered, sequence.restarts) == (0, 0, 0, 0)


@given(
    st.lists(st.integers(0, 3), min_size=5, max_size=200),
    st.lists(st.integers(0, 20), min_size=200, max_size=200),
)
def test_loss_duplication_and_reordering_are_counted_exactly(copies, delays):
    """Each number is sent 0 to 3 times and arrives up to 20 places late; the first and last arrive in place."""
    copies[0] = copies[-1] = 1
    arrivals = [
        (number + (delays[number] if 0 < number < len(copies) - 1 else 0) * 0.99 + 0.001 * copy, number + 1)
        for number, count in enumerate(copies)
        for copy in range(count)
    ]
    order = [number for _, number in sorted(arrivals)]
    sequence = Sequence()
    seen = set()
    for number in order:
        if number < order[0]:  # overtook the first: nothing before it is ours
            continue
        verdict = sequence.take(1, number)
        assert verdict is (Verdict.DUPLICATE if number in seen else Verdict.NEW)
        seen.add(number)
    assert sequence.lost == max(seen) - order[0] + 1 - len(seen)
    assert sequence.duplicates == sum(number >= order[0] for number in order) - len(seen)


def test_one_absurd_number_derails_nothing():
    sequence = Sequence()
    for number in range(1, 10):
        sequence.take(1, number)
    assert sequence.take(1, 10**12) is Verdict.HELD
    assert sequence.take(99, 3) is Verdict.HELD
    assert sequence.take(1, 10) is Verdict.NEW
    assert (sequence.contradicted, sequence.restarts, sequence.lost) == (2, 0, 0)


def test_a_restarted_sender_is_believed_at_its_second_message():
    sequence = Sequence()
    for number in range(1, 10):
        sequence.take(1, number)
    assert sequence.take(2, 1) is Verdict.HELD
    assert sequence.take(2, 2) is Verdict.RESTART
    assert sequence.take(2, 3) is Verdict.NEW
    assert (sequence.restarts, sequence.lost, sequence.duplicates) == (1, 0, 0)


def test_a_protocol_without_starts_restarts_at_its_first_number():
    sequence = Sequence(first=1)
    for number in range(1, 31):
        sequence.take(0, number)
    assert sequence.take(0, 30) is Verdict.DUPLICATE
    assert [sequence.take(0, number) for number in (1, 2, 3)] == [Verdict.HELD, Verdict.RESTART, Verdict.NEW]


def test_without_a_checksum_a_gap_needs_two_messages():
    sequence = Sequence(plausible_gap=0)
    for number in range(1, 31):
        sequence.take(0, number)
    assert sequence.take(0, 39) is Verdict.HELD
    assert sequence.take(0, 31) is Verdict.NEW  # 39 was wrong
    assert (sequence.lost, sequence.contradicted) == (0, 1)
    assert [sequence.take(0, number) for number in (35, 36, 37)] == [Verdict.HELD, Verdict.CONFIRMED, Verdict.NEW]
    assert (sequence.lost, sequence.restarts, sequence.contradicted) == (3, 0, 1)
