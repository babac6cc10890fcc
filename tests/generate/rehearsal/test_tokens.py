from __future__ import annotations

from orchestrator.generate.rehearsal.tokens import block_texts, count_input, estimate_tokens


def test_four_characters_begun_are_a_token() -> None:
    assert [estimate_tokens("x" * n) for n in (0, 1, 4, 5, 400)] == [0, 1, 1, 2, 100]


def test_system_and_messages_are_counted_in_both_of_their_forms() -> None:
    words = "w" * 40
    plain = count_input({"system": words, "messages": [{"role": "user", "content": words}]})
    block = {"type": "text", "text": words}
    blocks = count_input({"system": [block], "messages": [{"role": "user", "content": [block]}]})
    assert plain == blocks
    assert plain.total == 24
    assert plain.marked == 0
    assert count_input({}).total == 0


def test_the_marked_prefix_ends_with_the_last_mark() -> None:
    def block(size: int, mark: bool = False) -> dict[str, object]:
        mark_field = {"cache_control": {"type": "ephemeral"}} if mark else {}
        return {"type": "text", "text": "x" * 4 * size, **mark_field}

    body = {
        "system": [block(10, True), block(5)],
        "messages": [{"role": "user", "content": [block(20, True), block(1)]}, {"role": "user", "content": "abc"}],
    }
    count = count_input(body)
    assert count.marked == 10 + 5 + 4 + 20
    assert count.total == count.marked + 1 + 4 + 1
    only_system = count_input({**body, "messages": [{"role": "user", "content": "abc"}]})
    assert only_system.marked == 10
    assert count_input({**body, "cache_control": {"type": "ephemeral"}}).marked == count.total


def test_blocks_without_text_and_odd_contents_are_survived() -> None:
    assert block_texts([{"type": "image"}, {"type": "thinking", "thinking": "hm"}, 3]) == [
        ("image", False),
        ("hm", False),
    ]
    assert block_texts(None) == []
