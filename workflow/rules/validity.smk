# The gate: whether each mode answered as the reference does, in every timed request.
localrules:
    validity,


rule validity:
    input:
        [ARCHIVE.validity(device, mode) for device in DEVICES for mode in MODES[device]],


rule judge_mode:
    input:
        jobs=lambda wildcards: job_files(layout.JOB_RECORD, **wildcards),
        requests=lambda wildcards: job_files(layout.REQUESTS, **wildcards),
        outputs=lambda wildcards: job_files(layout.OUTPUTS, **wildcards),
        errors=lambda wildcards: job_files(layout.ERRORS, **wildcards),
        detections=lambda wildcards: job_files(layout.DETECTIONS, **wildcards),
        references=REFERENCES,
        roundings=ROUNDINGS,
        emulations=ROUNDING_TABLES,
        annotations=rules.annotations.output if CONFIG["annotations"] else [],
        tolerances=os.path.relpath(layout.TOLERANCES),
        code=step_code("validity.gate"),
    output:
        ARCHIVE.validity("{device}", "{mode}"),
    log:
        ARCHIVE.logs / "validity/{device}-{mode}.log",
    threads: ALONE
    params:
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.jobs],
        annotations="--annotations" if CONFIG["annotations"] else "",
    shell:
        step(
            "validity",
            "--jobs {params.folders:q} --references {input.references:q}",
            "--roundings {input.roundings:q}",
            "{params.annotations} {input.annotations:q} --output {output:q}",
        )
