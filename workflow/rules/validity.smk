# Whether each mode answered as the reference does, in the very requests that were timed.
localrules:
    validity,


rule validity:
    input:
        expand(f"{RESULTS}/validity/{{device}}/{{mode}}.json", device=DEVICES, mode=MODES),


rule judge_mode:
    input:
        jobs=lambda wildcards: job_files("job.json", **wildcards),
        outputs=lambda wildcards: job_files("outputs.csv", **wildcards),
        detections=lambda wildcards: job_files("detections.csv", **wildcards),
        references=REFERENCES,
        annotations=ANNOTATIONS if CONFIG["annotations"] else [],
        tolerances="workflow/schemas/tolerances.yaml",
        code=step_code("validity"),
    output:
        f"{RESULTS}/validity/{{device}}/{{mode}}.json",
    log:
        f"{RESULTS}/logs/validity/{{device}}-{{mode}}.log",
    resources:
        timing=1,
    params:
        folders=lambda wildcards, input: [os.path.dirname(path) for path in input.jobs],
        annotations="--annotations" if CONFIG["annotations"] else "",
    shell:
        "python3 -m effdet_bench validity --jobs {params.folders:q} --references {input.references:q}"
        " {params.annotations} {input.annotations:q} --output {output:q} 2>&1 | tee {log} >&2"
