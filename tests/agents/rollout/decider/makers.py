"""A controller that is told what a fleet in order would tell it."""

from dataclasses import replace
from typing import Any

from modelcast.agents.rollout.decider import facts
from modelcast.agents.rollout.decider.step import advance
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Entry
from modelcast.schemas.traffic.reports import PodCounts, TrafficReading, VersionCounts
from tests.schemas.traffic.makers import digest_of_version
from tests.support.records.folding import stated

REGIONS = ("eu", "us")


class Bench:
    """A controller, its clock, and what it asked for."""

    def __init__(self, log: ModelLog, regions: tuple[str, ...] = REGIONS) -> None:
        self.log, self.regions = log, regions
        self.state = facts.ControllerState("fraud", regions)
        self.seconds, self.wall_us = 1_000.0, 20_000_000
        self.asked: list[facts.Effect] = []
        self.sequence = 0
        self.counted = {region: {7: [0, 0], 8: [0, 0]} for region in regions}

    def tell(self, event: facts.Event) -> list[facts.Effect]:
        """An event, and the effects of it but reports."""
        self.state, effects = advance(self.state, event, facts.Moment(self.seconds, self.wall_us))
        kept = [effect for effect in effects if not isinstance(effect, facts.PublishState)]
        self.asked += kept
        return kept

    def begin(self, table: Any = None, progress: Any = None) -> None:
        """It has read the log and the store."""
        self.tell(facts.LogFolded(self.log))
        self.tell(facts.TookOver(table, progress))
        self.answer()

    def answer(self) -> None:
        """Whatever it asks for is done, until it asks for nothing more."""
        while self.asked:
            effect = self.asked.pop(0)
            if isinstance(effect, facts.PutTable):
                self.tell(facts.TablePut(effect.table))
            elif isinstance(effect, facts.ClaimEntry):
                self.claim(effect)

    def claim(self, effect: facts.ClaimEntry) -> None:
        from modelcast.agents.rollout.decider.entries import command_of

        entry = command_of(
            effect, self.log, event_id=f"event-{self.log.head + 1}", now_us=self.wall_us, requested_by="controller"
        )
        assert entry is not None
        self.log.check(entry)
        self.write(entry)
        self.tell(facts.ClaimEnded(self.log))

    def write(self, entry: Entry) -> None:
        """Somebody writes an entry."""
        self.log = self.log.extend(stated(self.log, entry))

    def second(self, *, requests: int = 0, errors: tuple[float, float] = (0.01, 0.01), answer: bool = True,
               quiet: tuple[str, ...] = (), **fields: Any) -> list[facts.Effect]:  # fmt: skip
        """A second passes, and every region but ``quiet`` ones reports; what was asked for in it."""
        self.seconds, self.wall_us, self.sequence = self.seconds + 1, self.wall_us + 1_000_000, self.sequence + 1
        found: list[facts.Effect] = []
        for region in self.regions:
            if region in quiet:
                continue
            grant = self.log.grant(region)
            share = grant.ceiling if grant is not None else 0
            for version, part in ((7, 10_000 - share), (8, share)):
                more = requests * part // 10_000
                self.counted[region][version][0] += more
                self.counted[region][version][1] += round(more * errors[version - 7])
            found += self.tell(facts.CountsHeard(self._counts(region)))
            found += self.tell(facts.ReadingHeard(replace(self._reading(region, share), **fields)))
        found += self.tell(facts.Ticked())
        if answer:
            self.answer()
        return found

    def seconds_pass(self, count: int, **fields: Any) -> None:
        """So many of them."""
        for _ in range(count):
            self.second(**fields)

    def _counts(self, region: str) -> PodCounts:
        versions = tuple(
            VersionCounts(
                version,
                digest_of_version(version),
                True,
                requests,
                errors,
                slow=requests // 50,
                slow_harmful=requests // 100,
                slow_harmless=requests // 200,
            )
            for version, (requests, errors) in self.counted[region].items()
        )
        return PodCounts("registry", "fraud", region, f"{region}-0", "a", 1, self.sequence,
                         self.sequence * 1_000_000, versions=versions)  # fmt: skip

    def _reading(self, region: str, share: int) -> TrafficReading:
        rollout, table = self.log.rollout, self.state.table
        authority = table.authority if table is not None else (0, 0, 0)
        return TrafficReading(
            registry_id="registry", model="fraud", region=region, worker="a", epoch=1, sequence=self.sequence,
            rollout=rollout.id if rollout is not None else "", generation=rollout.generation if rollout else 0,
            reported_at_us=self.wall_us, pods_expected=1, control_ready=1, candidate_ready=1, pods_in_force=1,
            table_generation=authority[0], table_epoch=authority[1], table_sequence=authority[2], share=share,
        )  # fmt: skip

    @property
    def ceilings(self) -> dict[str, int]:
        """What the log grants."""
        rollout = self.log.rollout
        return {region: rollout.ceiling(region) for region in self.regions} if rollout is not None else {}
