# One timing job per device and round, round by round, each mode in a process of its own.
localrules:
    timing,
    retry,


rule timing:
    input:
        job_files(layout.JOB_RECORD),


rule environment:
    input:
        code=step_code("timing.environment"),
    output:
        ARCHIVE.environment,
    log:
        ARCHIVE.logs / "environment.log",
    resources:
        timing=1,
    params:
        machine=CONFIG["machine"],
        versions=versions(),
    shell:
        step("environment", "--machine {params.machine} --output {output:q}")


# All modes of a round in one step, as they take turns request by request; for each device a rule of
# its own, as modes are for devices. The checks of exports are ancient: made before, but an edit of
# the check measures nothing again.
for DEVICE in DEVICES:

    rule:
        name:
            f"time_{DEVICE}"
        input:
            records=RECORDS,
            checkpoints=[source.path for source in SOURCES.values()],
            photos=rules.photos.output.record,
            references=REFERENCES,
            exports=export_records(DEVICE),
            checks=[ancient(layout.export_check(record)) for record in export_records(DEVICE)],
            code=step_code(
                "timing.job", *(f"engines.{mode['engine']}" for mode in modes_of(DEVICE))
            ),
        # `update` keeps what was measured before until it is replaced, should this job be
        # interrupted. Not so the records: without them the job counts as not done.
        output:
            raw=update(
                expand(
                    f"{JOB}/{{file}}",
                    device=DEVICE,
                    mode=MODES[DEVICE],
                    file=RAW_COLUMNS,
                    allow_missing=True,
                )
            ),
            jobs=expand(
                f"{JOB}/{layout.JOB_RECORD}",
                device=DEVICE,
                mode=MODES[DEVICE],
                allow_missing=True,
            ),
        log:
            ARCHIVE.logs / f"timing/{DEVICE}-round-{{round}}.log",
        priority: lambda wildcards: len(ROUNDS) - int(wildcards.round)
        # Their number is a resource, as a param would rerun all rounds for one more.
        resources:
            timing=1,
            rounds=len(ROUNDS),
            unnoted=unnoted_of(DEVICE),
        params:
            device=DEVICE,
            machine=CONFIG["machine"],
            modes=json.dumps(modes_of(DEVICE)),
            seconds=CONFIG["seconds"],
            requests=CONFIG["requests"],
            warmup=CONFIG["warmup"],
            stages=lambda wildcards: (
                0 if int(wildcards.round) > CONFIG["stage_rounds"] else STAGE_REQUESTS
            ),
            threads=CONFIG["threads"],
            seed=CONFIG["seed"],
            photos=os.path.dirname(PHOTOS[0]),
            first=FIRST,
            versions={
                mode["engine"]: modes.engine_versions(mode["engine"]) for mode in modes_of(DEVICE)
            },
            results=lambda wildcards, output: str(Path(output.jobs[0]).parents[4]),
        shell:
            step(
                "timing",
                "--machine {params.machine} --device {params.device} --modes {params.modes:q}",
                "--round {wildcards.round} --rounds {resources.rounds} --seconds {params.seconds}",
                "--requests {params.requests} --warmup {params.warmup} --stages {params.stages}",
                "--threads {params.threads} --photos {params.photos:q} --first {params.first}",
                "--records {input.records:q} --checkpoints {input.checkpoints:q}",
                "--references {input.references:q} --exports {input.exports:q} --seed {params.seed}",
                "--results {params.results:q} --unnoted {resources.unnoted}",
            )


# A job that failed or was unavailable left its record, which counts as done: this forgets them.
rule retry:
    log:
        ARCHIVE.logs / "retry.log",
    params:
        results=str(ARCHIVE.root),
        exports=str(layout.EXPORTS),
    shell:
        step("retry", "--results {params.results:q} --exports {params.exports:q}")
