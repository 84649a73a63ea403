# The gate: whether each mode answered as the reference does, in every timed request. One step judges all modes, because
# importing pandas and reading references takes longer than judging one mode.
rule validity:
    input:
        jobs=job_files(layout.JOB_RECORD),
        requests=job_files(layout.REQUESTS),
        outputs=job_files(layout.OUTPUTS),
        errors=job_files(layout.ERRORS),
        detections=job_files(layout.DETECTIONS),
        references=REFERENCES,
        roundings=ROUNDINGS,
        emulations=ROUNDING_TABLES,
        annotations=rules.annotations.output if CONFIG["annotations"] else [],
        passes=PASSES,
        tolerances=os.path.relpath(layout.TOLERANCES),
        code=step_code("validity.gate"),
    output:
        [ARCHIVE.validity(device, mode) for device in DEVICES for mode in MODES[device]],
    log:
        ARCHIVE.logs / "validity.log",
    threads: ALONE
    params:
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.jobs],
        annotations="--annotations" if CONFIG["annotations"] else "",
        accuracy="--accuracy" if CONFIG["accuracy"] else "",
        results=lambda wildcards, output: str(Path(output[0]).parents[2]),
    shell:
        step(
            "validity",
            "--jobs {params.folders:q} --references {input.references:q}",
            "--roundings {input.roundings:q}",
            "{params.annotations} {input.annotations:q} {params.accuracy}",
            "--results {params.results:q}",
        )
