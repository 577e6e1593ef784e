"""Checkpoints of another saver go over as they are."""

from __future__ import annotations

from graphs import asking, chat, config_of, say
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from annals_client.integrations.langgraph import AnnalsSaver, copy_history
from annals_client.testing import Annals


def test_threads_of_another_saver_go_on_in_annals(annals: Annals) -> None:
    old = InMemorySaver()
    for number in range(4):
        say(chat(old), config_of("trip"), f"Tea {number}.", number)
    [fork] = [state for state in chat(old).get_state_history(config_of("trip")) if state.metadata["step"] == 2]
    say(chat(old), fork.config, "Otherwise.", 9)
    asking(old).invoke({"messages": [HumanMessage("Tea?", id="m-1")]}, config_of("waiting"))
    new = AnnalsSaver(annals)

    counts = [copy_history(old, new, ["trip", "waiting"]), copy_history(old, new)]

    assert counts[0] == counts[1] > 10
    for thread in ("trip", "waiting"):
        theirs = [(of.config, of.checkpoint, of.metadata, of.parent_config) for of in old.list(config_of(thread))]
        assert [
            (of.config, of.checkpoint, of.metadata, of.parent_config) for of in new.list(config_of(thread))
        ] == theirs
    assert (
        asking(new).invoke(Command(resume="green"), config_of("waiting"))["messages"][-1].content == "You said green."
    )
    assert (
        len(say(chat(new), config_of("trip"), "On.", 10))
        == len(chat(old).get_state(config_of("trip")).values["messages"]) + 2
    )
