# One job of Snakemake per device and new round, in the order of rounds; in it each mode has a process of its own.
# `timing.sets` says which rounds are new.


rule timing:
    input:
        job_files(layout.JOB_RECORD),
        standings_files(),


rule environment:
    input:
        code=step_code("timing.environment"),
    output:
        ARCHIVE.environment,
    log:
        ARCHIVE.logs / "environment.log",
    threads: ALONE
    params:
        machine=CONFIG["machine"],
        versions=versions(),
    shell:
        step("environment", "--machine {params.machine} --output {output:q}")


# One step times the modes of a round, because they take turns. Rounds that count already have no rule. Each new round
# has a rule of its own, because rounds differ in their modes. The checks of exports are ancient inputs: timing waits for
# them, but a changed check triggers no new timing.
for DEVICE, PLAN in PLANS.items():
    for ROUND, TIMED in PLAN.new.items():

        rule:
            name:
                f"time_{DEVICE}_{ROUND}"
            input:
                records=RECORDS,
                checkpoints=CHECKPOINTS,
                photos=rules.photos.output.record,
                references=REFERENCES,
                exports=export_records(DEVICE, TIMED),
                checks=[
                    ancient(layout.export_check(record))
                    for record in export_records(DEVICE, TIMED)
                ],
            output:
                raw=[
                    ARCHIVE.job(DEVICE, mode, ROUND) / file
                    for mode in TIMED
                    for file in RAW_COLUMNS
                ],
                jobs=[ARCHIVE.job(DEVICE, mode, ROUND) / layout.JOB_RECORD for mode in TIMED],
            log:
                ARCHIVE.logs / f"timing/{DEVICE}-round-{ROUND}.log",
            priority: max(PLAN.new) + 1 - ROUND
            threads: ALONE
            params:
                device=DEVICE,
                round=ROUND,
                last=max(PLAN.new),
                machine=CONFIG["machine"],
                modes=json.dumps(
                    [MODE[mode] | {"depends": DEPENDS[DEVICE][mode]} for mode in TIMED]
                ),
                seconds=CONFIG["seconds"],
                requests=CONFIG["requests"],
                warmup=CONFIG["warmup"],
                stages=STAGE_REQUESTS if ROUND in PLAN.staged else 0,
                threads=CONFIG["threads"],
                seed=CONFIG["seed"],
                photos=os.path.dirname(PHOTOS[0]),
                first=FIRST,
                results=lambda wildcards, output: str(Path(output.jobs[0]).parents[4]),
            shell:
                step(
                    "timing",
                    "--machine {params.machine} --device {params.device} --modes {params.modes:q}",
                    "--round {params.round} --rounds {params.last} --seconds {params.seconds}",
                    "--requests {params.requests} --warmup {params.warmup} --stages {params.stages}",
                    "--threads {params.threads} --photos {params.photos:q} --first {params.first}",
                    "--records {input.records:q} --checkpoints {input.checkpoints:q}",
                    "--references {input.references:q} --exports {input.exports:q}",
                    "--seed {params.seed} --results {params.results:q}",
                )

        # Its priority is that of its round, so the next round begins after it.
        rule:
            name:
                f"standings_{DEVICE}_{ROUND}"
            input:
                jobs=job_files(layout.JOB_RECORD, DEVICE, last=ROUND),
                requests=job_files(layout.REQUESTS, DEVICE, last=ROUND),
            output:
                ARCHIVE.standings(DEVICE, ROUND),
            log:
                ARCHIVE.logs / f"standings/{DEVICE}-round-{ROUND}.log",
            priority: max(PLAN.new) + 1 - ROUND
            threads: ALONE
            params:
                folders=lambda wildcards, input: [os.path.dirname(path) for path in input.jobs],
                round=ROUND,
                last=max(PLAN.new),
                complete=PLAN.complete(ROUND),
            shell:
                step(
                    "standings",
                    "--jobs {params.folders:q} --round {params.round} --rounds {params.last}",
                    "--complete {params.complete} --output {output:q}",
                )
