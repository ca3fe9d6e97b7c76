"""A region whose only pod is a program that registers itself: published, refused in its words, killed, rolled back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.local.ports import free_ports
from modelcast.producers import Commander, Publisher
from modelcast.schemas.states import State
from tests.agents.region.stack import Stack, Topics
from tests.support.processes.daemon import Daemon
from tests.support.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
PROGRAM = Path(__file__).parents[3] / "consumers/watcher/watching_program.py"


def test_a_program_serves_what_is_published_and_says_what_it_refuses(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make_stack(pods_per_region=0)
    port, memory = free_ports(1)[0], tmp_path / "memory"
    stack.env["MODELCAST_REGIONS__EU__FLEET"] = json.dumps([{"discover": {"by": "registration"}}])
    program = Daemon("program", [str(PROGRAM), "eu", str(port), str(memory)], stack.env, tmp_path)
    topics = Topics(stack.settings)
    stack.processes.append(program.start())
    try:
        agent = stack.agent()
        until(lambda: agent.said("partitions assigned"), "the agent runs")
        with Publisher(stack.settings) as publisher, Commander(stack.settings) as commander:
            for version in (1, 2):
                publisher.publish("adder", written(tmp_path, version))
                until(lambda v=version: topics.serving("adder", v, pods=1), f"version {version} serves")
                assert memory.read_text() == str(version)
            publisher.publish("adder", written(tmp_path, "three"))
            until(
                lambda: state_of(topics) is State.QUARANTINED, "the version that it refuses three times is quarantined"
            )
            ack = topics.latest("adder")
            assert ack is not None
            assert "ValueError: invalid literal" in ack.error + "".join(pod.error for pod in ack.pods)
            assert memory.read_text() == "2"
            memory.unlink()
            program.kill()
            program.start()
            until(lambda: memory.exists() and memory.read_text() == "2", "it is handed what it served before")
            commander.rollback("adder", to=1, reason="the third can't be read")
            until(lambda: topics.serving("adder", 1, pods=1), "version 1 serves again")
            assert memory.read_text() == "1"
    finally:
        topics.close()


def written(root: Path, number: object) -> Path:
    folder = root / f"v{number}"
    folder.mkdir()
    (folder / "number.txt").write_text(str(number))
    return folder


def state_of(topics: Topics) -> State | None:
    ack = topics.latest("adder")
    return ack.state if ack else None
