# Networks exported for engines that run their own format. What modes share is exported once.
rule export_model:
    input:
        record=lambda wildcards: record_of(wildcards),
        checkpoint=lambda wildcards: source_of(wildcards).path,
        photos=sorted(str(path) for path in Path("workflow/resources/calibration").glob("*.jpg")),
        code=lambda wildcards: step_code("export", f"engines.{export_of(wildcards)['engine']}"),
    output:
        "exports/{export}/{model}.{weights}.json",
    log:
        "exports/logs/{export}/{model}.{weights}.log",
    resources:
        timing=1,
    params:
        engine=lambda wildcards: export_of(wildcards)["engine"],
        device=lambda wildcards: export_of(wildcards)["device"],
        threads=CONFIG["threads"],
        options=lambda wildcards: json.dumps(export_of(wildcards)["options"]),
        photos=lambda wildcards, input: os.path.dirname(input.photos[0]),
        versions=lambda wildcards: modes.engine_versions(export_of(wildcards)["engine"]),
    shell:
        "python3 -m effdet_bench export --engine {params.engine} --device {params.device}"
        " --options {params.options:q} --threads {params.threads} --record {input.record:q} --checkpoint {input.checkpoint:q} --photos {params.photos:q}"
        " --output {output:q} 2>&1 | tee {log} >&2"
