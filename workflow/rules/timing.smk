# One timing job per device, mode and round, each in a process of its own, round by round.
localrules:
    timing,
    retry,


rule timing:
    input:
        job_files("job.json"),


rule environment:
    input:
        code=step_code("environment"),
    output:
        f"{RESULTS}/environment.json",
    log:
        f"{RESULTS}/logs/environment.log",
    resources:
        timing=1,
    params:
        machine=CONFIG["machine"],
        versions=versions(),
    shell:
        "python3 -m effdet_bench environment --machine {params.machine} --output {output:q}"
        " 2>&1 | tee {log} >&2"


rule time_mode:
    input:
        records=RECORDS,
        checkpoints=[source.path for source in SOURCES.values()],
        photos=rules.photos.output,
        references=REFERENCES,
        code=lambda wildcards: step_code("timing", "measure", f"engines.{engine_of(wildcards)}"),
    # `update` keeps what was measured before until it is replaced, should this job be interrupted.
    # Not so the record: without it the job counts as not done.
    output:
        requests=update(f"{JOB}/requests.csv"),
        stages=update(f"{JOB}/stages.csv"),
        outputs=update(f"{JOB}/outputs.csv"),
        detections=update(f"{JOB}/detections.csv"),
        job=f"{JOB}/job.json",
    log:
        f"{RESULTS}/logs/timing/{{device}}-{{mode}}-round-{{round}}.log",
    # The order of JOBS. Numbers are resources, as a param would rerun jobs that only moved.
    priority: lambda wildcards: len(JOBS) - job_number(wildcards)
    resources:
        timing=1,
        job=job_number,
        jobs=len(JOBS),
    params:
        machine=CONFIG["machine"],
        engine=engine_of,
        requests=CONFIG["requests"],
        warmup=CONFIG["warmup"],
        threads=CONFIG["threads"],
        seed=CONFIG["seed"],
        photos=os.path.dirname(PHOTOS[0]),
        versions=versions(),
        folder=lambda wildcards, output: os.path.dirname(output.job),
    shell:
        "python3 -m effdet_bench timing --machine {params.machine} --device {wildcards.device}"
        " --mode {wildcards.mode} --engine {params.engine} --round {wildcards.round}"
        " --requests {params.requests} --warmup {params.warmup} --threads {params.threads}"
        " --photos {params.photos:q} --records {input.records:q}"
        " --checkpoints {input.checkpoints:q} --references {input.references:q}"
        " --seed {params.seed} --job {resources.job}/{resources.jobs}"
        " --output {params.folder:q} 2>&1 | tee {log} >&2"


# A job that failed or was unavailable left its record, which counts as done: this forgets them.
rule retry:
    log:
        f"{RESULTS}/logs/retry.log",
    params:
        folder=f"{RESULTS}/timing",
    shell:
        "python3 -m effdet_bench retry --timing {params.folder:q} 2>&1 | tee {log} >&2"
