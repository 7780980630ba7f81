"""White-box attacks on one arm, one after another, each on what is left.

Attacks of `evaluation.attacks` see all examples. Those of a suite see the ones that no
attack before has broken at this radius or, in the same norm, at a smaller one; the
others keep what broke them (`evaluation.carry_over`). Radii that are on a curve alone
get few attacks: the distances that one minimal-norm search found, then APGD.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from tqdm import tqdm

from configs.default import Config
from experiments.attack_suite import (
    MINIMAL_NORM,
    UNDENOISED,
    PlannedAttack,
    plan_attacks,
    plan_curve,
)
from experiments.evaluation_parts import Parts, identify
from experiments.settings import Arm
from wbad_jax import evaluation, processes
from wbad_jax.evaluation import Condition, Evaluator, Examples, Outcome
from wbad_jax.types import Key, LogitsFn, Params

# By which the template is moved, as a share of the image.
_STEP_BETWEEN_PLACES = 1 / 8


class WhiteBox:
    """Attacks on one arm and one set of examples."""

    def __init__(
        self,
        config: Config,
        arm: Arm,
        params: Params,
        examples: Examples,
        parts: Parts,
        key: Key,
        make_evaluator: Callable[..., Evaluator],
    ):
        """Plan the attacks; nothing is compiled yet.

        Args:
            config: The experiment.
            arm: The classifier.
            params: Its parameters.
            examples: What to attack.
            parts: Where finished outcomes and batches are kept.
            key: Base key, the same for all arms.
            make_evaluator: From a function of parameters, and other settings, to what
                runs attacks in batches.
        """
        self._arm, self._params, self._examples = arm, params, examples
        self._parts, self._key = parts, key
        self._identity = identify(arm, params, examples)
        self._plans = plan_attacks(config, arm, twins=examples.twins is not None)
        self._curve_plans = plan_curve(config, arm)
        self._found: dict[str, Outcome] = {}  # by minimal-norm searches
        self._headline = tuple(config.evaluation.epsilon_multiples)
        self._curve = tuple(config.evaluation.curve_multiples)
        self._modes_apart = config.evaluation.backward_modes_on == "survivors"
        models = _open_models(arm, config.evaluation.backward_modes)
        make = functools.partial(
            make_evaluator, arm.evaluated.logits_fn, surrogates_of=models
        )
        few = min(config.evaluation.suite_batch_size, len(examples.labels))
        self._evaluators = {False: make(), True: make(batch_size=few)}
        self._data = {} if examples.twins is None else twin_data(examples)

    def attack(self, clean: Outcome, norm: str, budget: float) -> Iterator[Outcome]:
        """Outcomes of all attacks of one norm at all radii, smallest first.

        Args:
            clean: That of the images as they are.
            norm: "linf" or "l2".
            budget: Radius whose multiples the config names.
        """
        worst = clean
        for multiple in sorted({*self._headline, *self._curve}):
            for plan in self._plans_at(norm, multiple):
                condition = dataclasses.replace(
                    clean.condition, protocol="adaptive", attack=plan.name, norm=norm,
                    epsilon=budget * multiple,
                )  # fmt: skip
                if plan.name == MINIMAL_NORM:
                    outcome = self._within(plan, condition, clean, budget)
                else:
                    outcome = self._outcome(plan, condition, worst)
                worst = evaluation.worst_case([worst, outcome])
                _tell(outcome, worst)
                yield outcome

    def _plans_at(self, norm: str, multiple: float) -> list[PlannedAttack]:
        plans = self._plans if multiple in self._headline else []
        names = {plan.name for plan in plans if plan.attack.norm == norm}
        if multiple in self._curve:
            plans = [*(p for p in self._curve_plans if p.name not in names), *plans]
        return [plan for plan in plans if plan.attack.norm == norm]

    def _within(self, plan, condition: Condition, clean: Outcome, budget: float):
        """A minimal-norm attack at one radius, from its search up to the largest."""
        norm = plan.attack.norm
        assert condition.epsilon is not None  # it is an attack's
        if norm not in self._found:
            largest = dataclasses.replace(condition, epsilon=budget * max(self._curve))
            self._found[norm] = self._outcome(plan, largest, clean)
        return evaluation.within(self._found[norm], clean, condition.epsilon)

    def _outcome(self, plan: PlannedAttack, condition: Condition, worst: Outcome):
        rows = np.arange(len(worst.labels))
        if plan.restricted:
            rows = np.flatnonzero(worst.correct)[: plan.most]
        identity = {**self._identity, "attacked": rows.tolist()}
        make = functools.partial(self._run, plan, condition, identity, rows, worst)
        return self._parts.outcome(condition, identity, make)

    def _run(self, plan, condition, identity, rows, worst: Outcome) -> Outcome:
        if not len(rows):
            none = {"logits": worst.logits[rows], "distance": worst.distance[rows]}
            return evaluation.carry_over(worst, condition, rows, seconds=0.0, **none)
        apart = self._modes_apart and UNDENOISED not in plan.surrogates
        exact = dataclasses.replace(plan, surrogates=()) if apart else plan
        outcome = self._attack(exact, condition, identity, rows, worst)
        left = rows[outcome.correct[rows]]
        if exact == plan or not len(left):
            return outcome
        identity = {**identity, "attacked": left.tolist(), "modes": plan.surrogates}
        last = self._attack(plan, condition, identity, left, outcome)
        return dataclasses.replace(
            last, attacked=outcome.attacked, seconds=outcome.seconds + last.seconds
        )

    def _attack(self, plan, condition, identity, rows, worst: Outcome) -> Outcome:
        """The outcome of one attack on some examples."""
        attacked = self._evaluators[plan.restricted].attack(
            plan.attack,
            self._params,
            self._examples,
            self._key,
            condition.epsilon,
            rows=rows,
            data={name: self._data[name] for name in plan.data},
            surrogates=plan.surrogates,
            recall=functools.partial(self._parts.batch, condition, identity),
            description=f"{condition.set} {condition.arm} adaptive {plan.name}",
        )
        return evaluation.carry_over(
            worst, condition, rows, logits=attacked.logits, distance=attacked.distance,
            seconds=attacked.seconds,
        )  # fmt: skip


def backward_modes(
    arm: Arm, modes: Iterable[str]
) -> dict[str, Callable[[Params], LogitsFn]]:
    """Classifiers of the same parameters with other backward passes.

    Args:
        arm: Of which; without a denoiser there are none.
        modes: Backward modes of the denoiser.

    Returns:
        From names to the maps from parameters to logits functions.
    """
    if arm.evaluated.denoiser is None:
        return {}

    def with_mode(mode):
        return lambda params: arm.evaluated.logits_fn(params, backward=mode)

    return {mode: with_mode(mode) for mode in modes}


def _open_models(arm: Arm, modes: Iterable[str]):
    """Those, "smooth" in any case, and the network without the denoiser."""
    if arm.evaluated.denoiser is None:
        return {}
    modes = dict.fromkeys((*modes, "smooth"))
    return {
        **backward_modes(arm, modes),
        UNDENOISED: arm.evaluated.undenoised_logits_fn,
    }


def twin_data(examples: Examples) -> Mapping[str, np.ndarray]:
    """What attacks that know of twins are called with, `[n, ...]` each.

    The template is a patient's own lesion, tried where it is and at eight places
    around.
    """
    assert examples.twins is not None  # or no such attack is planned
    tumour = (examples.labels == 1)[:, None, None, None]
    difference = examples.images - examples.twins
    height, width = examples.images.shape[1:3]
    down, across = (
        round(size * _STEP_BETWEEN_PLACES) * np.array([0, -1, 1])
        for size in (height, width)
    )
    places = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)
    return {
        "twins": examples.twins,
        "templates": np.where(tumour, difference, -difference),
        "places": np.broadcast_to(places, (len(examples.labels), *places.shape)),
    }


def _tell(outcome: Outcome, worst: Outcome) -> None:
    """One line about a finished attack."""
    if not processes.is_first():
        return
    condition = outcome.condition
    tqdm.write(
        f"{condition.set} {condition.arm} {condition.attack} {condition.norm} "
        f"{condition.epsilon:.5f}: {100 * worst.correct.mean():.1f} % right so far, "
        f"{outcome.evaluated_on} attacked, {outcome.seconds:.1f} s"
    )
