# What each device can do at best, and the bound of a request that follows from it.
localrules:
    roofline,


rule roofline:
    input:
        expand(f"{RESULTS}/roofline/{{device}}.json", device=DEVICES),


rule bound_device:
    input:
        code=step_code("roofline"),
    output:
        f"{RESULTS}/roofline/{{device}}.json",
    log:
        f"{RESULTS}/logs/roofline/{{device}}.log",
    resources:
        timing=1,
    params:
        ensemble=json.dumps(ENSEMBLE),
        threads=CONFIG["threads"],
        versions=versions(),
    shell:
        "python3 -m effdet_bench roofline --device {wildcards.device} --ensemble {params.ensemble:q}"
        " --threads {params.threads} --output {output:q} 2>&1 | tee {log} >&2"
