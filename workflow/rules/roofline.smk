# The ceilings of each device, and the bounds of a request that follow from them.


rule roofline:
    input:
        expand(ARCHIVE.roofline("{device}"), device=DEVICES),


rule bound_device:
    input:
        code=step_code("roofline.roofline"),
    output:
        ARCHIVE.roofline("{device}"),
    log:
        ARCHIVE.logs / "roofline/{device}.log",
    threads: ALONE
    params:
        ensemble=json.dumps(ENSEMBLE),
        threads=CONFIG["threads"],
        versions=versions(),
    shell:
        step(
            "roofline",
            "--device {wildcards.device} --ensemble {params.ensemble:q}",
            "--threads {params.threads} --output {output:q}",
        )
