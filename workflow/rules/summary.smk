# Every derived number, from the raw data of all timing jobs.
rule summary:
    input:
        jobs=[
            f"{job_folder(*job)}/{file}"
            for job in JOBS
            for file in ("job.json", "requests.csv", "stages.csv")
        ],
        code=step_code("summary"),
        schemas=["workflow/schemas/job.schema.yaml", "workflow/schemas/summary.schema.yaml"],
    output:
        json=f"{RESULTS}/summary.json",
        csv=f"{RESULTS}/summary.csv",
    log:
        f"{RESULTS}/logs/summary.log",
    resources:
        timing=1,
    params:
        folders=[job_folder(*job) for job in JOBS],
    shell:
        "{STEP} summary --jobs {params.folders:q} --json {output.json:q} --csv {output.csv:q}"
        " 2>&1 | tee {log} >&2"
