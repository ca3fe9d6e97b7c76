"""A worker's process: it crashes, is paused, and is cut off from the broker; the group's coordinator finds out late."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tests.simulation.actors.group import Group
from tests.simulation.time.process_loop import ProcessLoop
from tests.simulation.time.stepwise import Stepwise

if TYPE_CHECKING:
    from tests.simulation.actors.region import Region

T = TypeVar("T")


class Process(ABC):
    """What runs in it is left to ``begun``, ``ended`` and ``reconnected``. Everything in it runs on ``loop``.

    Args:
        group: it is a member of.
        name: of the worker.
        hurt: the region that its faults hurt; None: none.
    """

    def __init__(self, group: Group[Any], name: str, hurt: Region | None = None) -> None:
        self.group, self.world, self.name, self.hurt = group, group.world, name, hurt
        self.up = self.paused = self.cut_off = False
        self._is_line_down = False  # its producer has not connected again since a cut or a long pause
        self.woken_at = float("-inf")  # when the last pause was over
        self.connected_at = float("-inf")  # when its producer last connected again
        self.slept = (float("-inf"), float("-inf"))  # the last pause in which its session may have ended
        self.life = 0
        self.loop = ProcessLoop(self)
        self.steps: list[Stepwise] = []  # blocking calls under way
        self._waiting: list[Callable[[], None]] = []  # what happened while it was paused
        self._unheard: list[Callable[[], None]] = []  # what the broker could not say
        self._unwritten: list[Callable[[], None]] = []  # what it could not say to the broker

    @abstractmethod
    def begun(self) -> None:
        """A new process runs."""

    @abstractmethod
    def ended(self) -> None:
        """It is gone, with all that it knew."""

    @abstractmethod
    def reconnected(self) -> None:
        """The broker can be reached again."""

    @property
    def identity(self) -> str:
        """Who it says it is in the state object."""
        return f"{self.name}#{self.life}"

    def start(self) -> None:
        """A new process."""
        self.up, self.paused, self.cut_off, self._is_line_down = True, False, False, False
        self.world.trace(self.name, f"starts as {self.identity}")
        self.loop = ProcessLoop(self)
        self.later(self.world.rng.uniform(0.1, 2.0), lambda: self.group.joined(self))
        self.loop.run(self.begun)

    def crash(self, why: str) -> None:
        """End at once; come back later."""
        if not self.up:
            return
        self.world.trace(self.name, f"CRASHED ({why})")
        self.up = False
        self.life += 1
        life = self.life
        self.loop.dead = True
        self.world.after(0.0, self.loop.end)  # this may be its own code that runs
        self.abandon_steps()
        self.ended()
        self._waiting, self._unheard, self._unwritten = [], [], []
        self.world.after(10.0, lambda: self.group.lost(self) if self.life == life and not self.up else None)
        self.world.after(self.world.rng.choice([1.0, 8.0, 25.0]), lambda: self._restart(life))

    def leave(self) -> None:
        """End after having said so to the group; come back later."""
        self.world.trace(self.name, "LEAVES")
        self.group.lost(self)
        self.crash("has left")

    def _restart(self, life: int) -> None:
        if self.life == life and not self.up:
            self.group.lost(self)
            self.start()

    def pause(self, seconds: float) -> None:
        """SIGSTOP; SIGCONT after ``seconds``."""
        if not self.up or self.paused:
            return
        self.world.trace(self.name, f"PAUSED for {seconds:.0f}")
        self.paused = True
        life, began = self.life, self.world.now
        self.world.after(10.0, lambda: self.group.lost(self) if self.life == life and self.paused else None)
        self.world.after(seconds, lambda: self._wake(life, began))

    def _wake(self, life: int, began: float) -> None:
        if self.life != life or not self.paused:
            return
        self.world.trace(self.name, "WAKES")
        self.paused, self.woken_at = False, self.world.now
        if self.world.now - began > 10.0:
            self.slept = (began, self.world.now)
            self._is_line_down = True
            self.later(self.world.rng.uniform(0.0, 5.0), self._connects)
        self.later(0.0, lambda: None)  # what was ready when it was stopped
        waiting, self._waiting = self._waiting, []
        self.world.rng.shuffle(waiting)  # sockets and timers are all ready at once
        for action in waiting:
            self.later(self.world.rng.uniform(0.0, 0.5), action)
        self.later(self.world.rng.uniform(1.0, 5.0), lambda: self.group.joined(self))

    def cut(self, seconds: float) -> None:
        """No broker for a while: it goes on with what it believes to own."""
        if not self.up or self.cut_off:
            return
        self.world.trace(self.name, f"CUT OFF from the broker for {seconds:.0f}")
        self.cut_off = self._is_line_down = True
        life = self.life
        self.world.after(10.0, lambda: self.group.lost(self) if self.life == life and self.cut_off else None)
        self.world.after(seconds, lambda: self._reconnect(life))

    def _reconnect(self, life: int) -> None:
        if self.life != life:
            return
        self.cut_off = False
        self.later(self.world.rng.uniform(0.0, 5.0), self._connects)
        unheard, self._unheard = self._unheard, []
        for action in unheard:
            self.later(self.world.rng.uniform(0.0, 0.5), action)
        self.later(self.world.rng.uniform(1.0, 3.0), lambda: self.group.joined(self))

    def _connects(self) -> None:
        if self.cut_off:
            return
        self._is_line_down, self.connected_at = False, self.world.now
        unwritten, self._unwritten = self._unwritten, []
        for action in unwritten:
            action()
        self.reconnected()

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Run in this process, if it still lives then; a paused one does it when it wakes."""
        life = self.life

        def run() -> None:
            if self.life != life or not self.up:
                return
            if self.paused:
                self._waiting.append(action)
            else:
                self.loop.run(action)

        self.world.after(delay, run)

    def went_on_since(self, life: int, began: float) -> bool:
        """Whether it has run and could write all the time."""
        runs = self.up and self.life == life and not self.paused and not self._is_line_down
        return runs and self.woken_at < began and self.connected_at < began

    def resuming(self, action: Callable[[T], None]) -> Callable[[float, T], None]:
        """What others call to have ``action`` run here, after a delay, if this life still lasts."""
        life = self.life

        def resume(delay: float, value: T) -> None:
            if self.life == life:
                self.later(delay, lambda: action(value))

        return resume

    def acts(self) -> bool:
        """Its code is about to do something that others can see; False: it does not come to that."""
        if asyncio._get_running_loop() is not self.loop or self.loop.dead:
            return False  # it has crashed, and this is the rest of a callback that was running then
        if self.world.fault("worker crashed at an effect", self.hurt):
            self.crash("at an effect")
            return False
        if self.world.fault("worker paused at an effect", self.hurt):
            self.pause(self.world.rng.uniform(5.0, 60.0))
        return True

    def abandon_steps(self) -> None:
        """Calls that were under way end nowhere."""
        for steps in self.steps:
            steps.abandon()
        self.steps.clear()

    def hears(self, delay: float, action: Callable[[], None]) -> None:
        """Like ``later``, said by the broker."""
        self.later(delay, lambda: self._unheard.append(action) if self.cut_off else action())

    def writes(self, action: Callable[[], None]) -> bool:
        """Write to Kafka, in order: later, if the broker can't be reached now. False: we crashed before."""
        if not self.acts():
            return False
        if self._is_line_down:
            self._unwritten.append(action)
        else:
            action()
        return True
