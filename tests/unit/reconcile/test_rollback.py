"""A revision that fails for good is given up, and is not tried again until the spec changes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.diagnose.test_pods import ended
from tests.unit.reconcile.test_rollout import (
    NOW_TEXT,
    SEED,
    Servers,
    edited,
    how,
    progressing,
    told,
)

from llama_operator.reconcile import revisions, status
from llama_operator.reconcile.actions import Apply, Delete
from llama_operator.reconcile.decide import Decision, decide

Object = dict[str, Any]
BAD_FLAG = "vllm: error: unrecognized arguments: --seeed=1"
LATE = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]


def settled(replicas: int = 2, gpus: int = 3, **spec: Any) -> Servers:
    """Servers whose first revision has proven good, as the status says."""
    servers = Servers(replicas, gpus, **spec)
    count = {"replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas}
    servers.server["metadata"]["generation"] = 1
    servers.server["status"] = {"observedGeneration": 1, **count}
    servers.status = status.build(servers.view(), decide(servers.view()), None, NOW_TEXT)
    assert servers.status["revision"]["lastGood"] == servers.status["revision"]["update"]
    return servers


def failing(servers: Servers, name: str = "new-0") -> Object:
    made = servers.pod(name, ready=False)
    made["status"]["containerStatuses"] = [{"ready": False, **ended(2, message=BAD_FLAG)}]
    return made


def rolled_out(servers: Servers, **more: Any) -> Servers:
    """The bad revision is on its way: its first server has ended."""
    servers.roll(edited(servers, **more))
    servers.server["metadata"]["generation"] = 2
    servers.pods.append(failing(servers))
    return servers


def template(decision: Decision) -> Object:
    found = next(obj for obj in decision.desired if obj["kind"] == "Deployment")
    return dict(found["spec"]["template"])


def args(decision: Decision) -> list[str]:
    return list(template(decision)["spec"]["containers"][0]["args"])


def test_what_fails_for_good_goes_back_and_says_why() -> None:
    servers = settled()
    good = template(decide(servers.view()))
    decision = decide(rolled_out(servers).view())
    assert template(decision) == good
    assert how(decision) == (1, 0), "as it came: the old servers are not touched"
    state, reason, message = progressing(servers, decision)
    assert (state, reason) == ("False", "RevisionRejected")
    assert "unrecognized arguments: --seeed=1" in message
    revision = told(servers, decision)["revision"]
    assert revision["rejected"] == revision["update"] != revision["lastGood"]
    assert servers.status["revision"]["lastGood"] == revision["lastGood"]


def test_it_is_not_tried_again_by_itself_and_comes_to_rest() -> None:
    servers = rolled_out(settled())
    servers.roll(decide(servers.view()))
    assert decide(servers.view()).actions == []
    servers.pods.pop()  # the Deployment controller has taken it away
    assert decide(servers.view()).actions == []
    servers.spec["replicas"] = 3
    more = decide(servers.view())
    assert "--seed=1" not in args(more)
    assert [each.obj["spec"]["replicas"] for each in more.actions
            if isinstance(each, Apply) and each.obj["kind"] == "Deployment"] == [3]  # fmt: skip
    assert servers.view().holders is None, "nothing is counted for what is not tried"


def test_another_spec_is_tried_and_so_is_the_same_one_asked_for_again() -> None:
    servers = rolled_out(settled())
    servers.roll(decide(servers.view()))
    servers.pods.pop()
    servers.spec["engine"] = {"args": ["--seed=2"]}
    assert "--seed=2" in args(decide(servers.view()))
    servers.spec["engine"] = {}
    back = decide(servers.view())
    servers.roll(back)
    assert "rejected" not in told(servers, back)["revision"]
    servers.spec |= SEED
    assert "--seed=1" in args(decide(servers.view()))


@pytest.mark.parametrize("cut", range(3))
def test_a_crash_anywhere_ends_the_same(cut: int) -> None:
    undisturbed = rolled_out(settled())
    undisturbed.roll(decide(undisturbed.view()))
    servers = rolled_out(settled())
    decision = decide(servers.view())
    del decision.actions[cut:]
    servers.roll(decision)
    servers.roll(decide(servers.view()))
    assert servers.server["spec"] == undisturbed.server["spec"]
    assert (
        servers.server["metadata"]["annotations"] == undisturbed.server["metadata"]["annotations"]
    )


def test_a_deployment_that_is_removed_comes_back_as_the_last_good_one() -> None:
    servers = rolled_out(settled())
    decision = decide(servers.view())
    servers.roll(decision)
    servers.status = told(servers, decision)
    servers.children = [each for each in servers.children if each["kind"] != "Deployment"]
    again = decide(servers.view())
    assert "--seed=1" not in args(again)
    assert progressing(servers, again)[1] in ("Starting", "RevisionRejected")


# -- what is no reason ----------------------------------------------------------------------------


def test_not_while_a_new_server_answers() -> None:
    servers = rolled_out(settled())
    servers.pods.append(servers.pod("new-1"))
    assert "--seed=1" in args(decide(servers.view()))


def test_not_after_it_was_good_once() -> None:
    servers = rolled_out(settled())
    servers.status["revision"] = {"lastGood": revisions.name_of(servers.view())}
    assert "--seed=1" in args(decide(servers.view()))


def test_not_the_first_revision() -> None:
    servers = Servers()
    servers.pods = [failing(servers)]
    assert decide(servers.view()).actions == []
    assert progressing(servers, decide(servers.view()))[1] != "RevisionRejected"


def test_not_where_it_is_switched_off() -> None:
    servers = rolled_out(settled(rollout={"automaticRollback": False}))
    assert "--seed=1" in args(decide(servers.view()))
    servers.spec["rollout"] = {}
    servers.roll(decide(servers.view()))
    servers.spec["rollout"] = {"automaticRollback": False}
    assert "--seed=1" in args(decide(servers.view())), "and then it is tried again"


def test_not_for_what_may_mend_itself_until_its_budget_is_spent() -> None:
    servers = settled()
    servers.roll(edited(servers))
    servers.server["metadata"]["generation"] = 2
    servers.pods.append(servers.pod("new-0", ready=False))
    assert "--seed=1" in args(decide(servers.view()))
    servers.server["status"] = {"observedGeneration": 1, "conditions": LATE}
    assert "--seed=1" in args(decide(servers.view())), "that is of the revision before"
    servers.server["status"]["observedGeneration"] = 2
    given_up = decide(servers.view())
    assert "--seed=1" not in args(given_up)
    assert "StartupTimeout" in progressing(servers, given_up)[2]


def test_not_for_want_of_a_node() -> None:
    servers = settled(rollout={"strategy": "Surge"})
    servers.roll(edited(servers))
    servers.server["metadata"]["generation"] = 2
    servers.pods.append(servers.pod("new-0", ready=False, nowhere=NOW_TEXT))
    servers.server["status"] = {"observedGeneration": 2, "conditions": LATE}
    assert "--seed=1" in args(decide(servers.view()))


def test_not_to_weights_that_were_removed() -> None:
    servers = rolled_out(settled())
    decision = decide(servers.view(copies=frozenset()))
    assert "--seed=1" in args(decision)
    assert decision.actions == []
    state, reason, message = progressing(servers, decision)
    assert (state, reason) == ("False", "RevisionRejected")
    assert "were removed" in message


# -- beside it ------------------------------------------------------------------------------------


def test_in_place_the_one_that_was_stopped_comes_back() -> None:
    servers = rolled_out(settled(2, 2))
    del servers.pods[0]
    decision = decide(servers.view())
    assert "--seed=1" not in args(decision)
    assert how(decision) == (0, 1)


def test_the_revision_to_go_back_to_is_kept_whatever_the_limit() -> None:
    servers = settled(1, 1, rollout={"historyLimit": 0})
    good = revisions.name_of(servers.view())
    decision = edited(servers)
    assert not [each for each in decision.actions if isinstance(each, Delete)]
    rolled_out(servers)
    servers.pods = servers.pods[1:]  # swapped: nothing is left of the old one
    decision = decide(servers.view())
    assert not [each for each in decision.actions if isinstance(each, Delete)]
    assert told(servers, decision)["revision"]["lastGood"] == good
    servers.status["revision"] = {"lastGood": revisions.name_of(servers.view())}
    (gone,) = [each for each in decide(servers.view()).actions if isinstance(each, Delete)]
    assert gone.name == good


def test_from_a_rollout_edited_before_it_was_good_the_way_back_is_the_one_before() -> None:
    servers = settled()
    good = revisions.name_of(servers.view())
    servers.roll(edited(servers))
    servers.pods.append(servers.pod("new-0", ready=False))
    servers.spec["engine"] = {"args": ["--seed=2"]}
    servers.roll(decide(servers.view()))
    servers.pods[-1] = failing(servers)
    decision = decide(servers.view())
    assert told(servers, decision)["revision"]["lastGood"] == good
    assert not [arg for arg in args(decision) if arg.startswith("--seed=")]


# -- undo -----------------------------------------------------------------------------------------


def undone(servers: Servers, to: str) -> Servers:
    servers.spec["rollout"] = {"undoTo": to}
    return servers


def edited_well(servers: Servers) -> Servers:
    servers.roll(edited(servers))
    servers.pods = [servers.pod("new-0"), servers.pod("new-1")]
    return servers


def test_undo_goes_to_a_kept_revision_and_counts_as_any_rollout() -> None:
    servers = settled()
    good = revisions.name_of(servers.view())
    decision = decide(undone(edited_well(servers), good).view())
    assert "--seed=1" not in args(decision)
    assert how(decision) == (1, 0)
    servers.roll(decision)
    assert told(servers, decision)["revision"]["update"] == good
    assert decide(servers.view()).actions == []


def test_while_it_is_set_the_rest_of_the_spec_rolls_nothing() -> None:
    servers = settled()
    good = revisions.name_of(servers.view())
    servers.roll(decide(undone(edited_well(servers), good).view()))
    servers.spec["engine"] = {"args": ["--seed=3"]}
    assert decide(servers.view()).actions == []
    servers.spec["rollout"] = {}
    assert "--seed=3" in args(decide(servers.view()))


def test_undo_to_what_is_not_kept_touches_nothing_and_names_what_is() -> None:
    servers = settled()
    good = revisions.name_of(servers.view())
    decision = decide(undone(servers, "web-0000000000").view())
    assert decision.actions == []
    state, reason, message = progressing(servers, decision)
    assert (state, reason) == ("False", "RevisionRejected")
    assert "there is no revision web-0000000000" in message
    assert good in message


def test_undo_to_weights_that_were_removed_touches_nothing() -> None:
    servers = settled()
    good = revisions.name_of(servers.view())
    undone(edited_well(servers), good)
    view = servers.view(copies=frozenset())
    decision = decide(view)
    assert decision.actions == []
    assert "--seed=1" in args(decision)
    assert decision.course is not None
    assert "weights" in decision.course.refused
    assert "were removed" in decision.course.refused
    assert "llamactl rollout undo web --off" in decision.course.refused


def test_the_revision_that_is_gone_back_to_is_never_pruned() -> None:
    servers = settled()
    good = revisions.name_of(servers.view())
    undone(edited_well(servers), good)
    servers.spec["rollout"]["historyLimit"] = 0
    deleted = [each.name for each in decide(servers.view()).actions if isinstance(each, Delete)]
    assert good not in deleted
