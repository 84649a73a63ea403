# Every derived number, from the raw data of all timing jobs.
rule summary:
    input:
        jobs=job_files(layout.JOB_RECORD),
        requests=job_files(layout.REQUESTS),
        stages=job_files(layout.STAGES),
        validity=rules.validity.output,
        rooflines=rules.roofline.input,
        code=step_code("summary.summary"),
        schemas=package_files(layout.SCHEMAS, "job.schema.yaml")
        + package_files(layout.SCHEMAS, "summary.schema.yaml"),
    output:
        json=ARCHIVE.summary,
        csv=ARCHIVE.summary_table,
    log:
        ARCHIVE.logs / "summary.log",
    threads: ALONE
    params:
        ablation=CONFIG["ablation"],
        results=lambda wildcards, output: os.path.dirname(output.json),
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.jobs],
    shell:
        step(
            "summary",
            "--jobs {params.folders:q} --validity {input.validity:q}",
            "--rooflines {input.rooflines:q} --ablation {params.ablation}",
            "--results {params.results:q}",
        )
