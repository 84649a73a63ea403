# Every derived number, from the raw data of all timing jobs.
rule summary:
    input:
        jobs=job_files("job.json"),
        requests=job_files("requests.csv"),
        stages=job_files("stages.csv"),
        validity=rules.validity.input,
        rooflines=rules.roofline.input,
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
        ablation=CONFIG["ablation"],
        results=lambda wildcards, output: os.path.dirname(output.json),
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.jobs],
    shell:
        "python3 -m effdet_bench summary --jobs {params.folders:q} --validity {input.validity:q}"
        " --rooflines {input.rooflines:q} --ablation {params.ablation} --output {params.results:q} 2>&1 | tee {log} >&2"
