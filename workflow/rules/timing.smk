# One job of Snakemake per device and round, in the order of rounds; in it each mode has a process of its own.
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


# One step times all modes of a round, because they take turns. Each device has a rule of its own, because its modes
# differ. The checks of exports are ancient inputs: timing waits for them, but a changed check triggers no new timing.
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
        # If this job is interrupted, `update` keeps earlier raw data until new data replace them. The records are
        # not kept: without them Snakemake knows that the job is not done.
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
        priority: lambda wildcards: len(ROUNDS) + 1 - int(wildcards.round)
        # The number of rounds is a resource, because a changed param would make Snakemake repeat every round.
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


# A failed or unavailable job leaves a record, so Snakemake takes it as done. This rule deletes such records.
rule retry:
    log:
        ARCHIVE.logs / "retry.log",
    params:
        results=str(ARCHIVE.root),
        exports=str(layout.EXPORTS),
    shell:
        step("retry", "--results {params.results:q} --exports {params.exports:q}")
