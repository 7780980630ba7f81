"""One compiled service of a run with random parameters, for all tests here."""

import pytest

pytest.importorskip("fastapi", reason="fastapi is missing")
from experiments.run_folder import load_config
from experiments.serve.answers import Answers, choose_arms
from experiments.serve.arm_programs import EffortSettings
from experiments.trained_run import open_run
from tests.experiments.untrained_run import write_untrained_run


@pytest.fixture(scope="session")
def answers(data_dir, tmp_path_factory):
    workdir = write_untrained_run(tmp_path_factory.mktemp("serve") / "run", data_dir)
    run = open_run(load_config(workdir), workdir)
    effort = EffortSettings(attack_steps=3, num_samples=64, num_selection=32)
    return Answers(run, choose_arms(run, None, None), effort, lambda text: None)
