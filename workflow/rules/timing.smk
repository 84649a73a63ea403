# One timing job per device, mode and round, each in a process of its own, round by round.
localrules:
    timing,
    retry,


rule timing:
    input:
        [f"{job_folder(*job)}/job.json" for job in JOBS],


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
        machine=MACHINE,
        versions=versions(),
    shell:
        "{STEP} environment --machine {params.machine} --output {output:q}" " 2>&1 | tee {log} >&2"


rule photos:
    input:
        photos=[str(path) for path in PHOTOS],
        code=step_code("photos"),
    output:
        f"{RESULTS}/photos.json",
    log:
        f"{RESULTS}/logs/photos.log",
    resources:
        timing=1,
    params:
        folder=str(PHOTOS[0].parent),
    shell:
        "{STEP} photos --folder {params.folder:q} --output {output:q} 2>&1 | tee {log} >&2"


N_JOBS = len(JOBS)


def job_number(wildcards):
    return JOBS.index((wildcards.device, wildcards.mode, int(wildcards.round))) + 1


rule time_mode:
    input:
        records=RECORDS,
        checkpoints=FILES,
        photos=rules.photos.output,
        code=lambda wildcards: step_code(
            "timing", "measure", f"engines.{MODES[wildcards.mode]['engine']}"
        ),
    output:
        requests=job_folder("{device}", "{mode}", "{round}") + "/requests.csv",
        stages=job_folder("{device}", "{mode}", "{round}") + "/stages.csv",
        job=job_folder("{device}", "{mode}", "{round}") + "/job.json",
    log:
        RESULTS + "/logs/timing/{device}-{mode}-round-{round}.log",
    # The order of JOBS. Its number is a resource because a param would rerun jobs that only moved.
    priority: lambda wildcards: len(JOBS) - job_number(wildcards)
    resources:
        timing=1,
        job=job_number,
    params:
        machine=MACHINE,
        engine=lambda wildcards: MODES[wildcards.mode]["engine"],
        requests=CONFIG["requests"],
        warmup=CONFIG["warmup"],
        threads=CONFIG["threads"],
        photos=str(PHOTOS[0].parent),
        versions=versions(),
        folder=lambda wildcards, output: os.path.dirname(output.job),
    shell:
        "{STEP} timing --machine {params.machine} --device {wildcards.device}"
        " --mode {wildcards.mode} --engine {params.engine} --round {wildcards.round}"
        " --requests {params.requests} --warmup {params.warmup} --threads {params.threads}"
        " --photos {params.photos:q} --records {input.records:q}"
        " --checkpoints {input.checkpoints:q} --job {resources.job}/{N_JOBS}"
        " --output {params.folder:q}"
        " 2>&1 | tee {log} >&2"


# A job that failed or was unavailable left its record, which counts as done: this forgets them.
rule retry:
    log:
        f"{RESULTS}/logs/retry.log",
    params:
        folder=f"{RESULTS}/timing",
    shell:
        "{{ grep -rlE '\"outcome\": \"(failed|unavailable)\"' --include=job.json {params.folder:q} ||"
        " true; }} | xargs -r rm -v 2>&1 | tee {log} >&2"
