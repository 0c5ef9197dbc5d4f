"""Write the simulated retail world: raw files of every feed as real sources would write them, and the truth kept apart."""

import sys

from jobs.lakehouse.job import Job
from jobs.lakehouse.run import Run
from jobs.lakehouse.settings import WorldSettings
from jobs.simulate.raw_files import write_raw_files
from jobs.simulate.truth import write_truth

JOB = Job(writes=("files.*", "truth.*"), settings=(WorldSettings,), only_simulated=True)


def build(run: Run) -> None:
    world = run.part(WorldSettings)
    raw_files, truth = run.settings.path("data"), run.settings.path("truth")
    is_new = write_raw_files(run.spark, world, raw_files)
    write_truth(run.spark, world, truth)
    run.facts["world"] = f"{world.customers:,} persons in {raw_files}{'' if is_new else ' (was there)'}"


if __name__ == "__main__":
    sys.exit(JOB.main(__doc__, build))
