# Each mode as a service under load, after the summary, which says which modes are fast and valid.
rule load_mode:
    input:
        records=RECORDS,
        checkpoints=CHECKPOINTS,
        photos=rules.photos.output.record,
        references=REFERENCES,
        exports=lambda wildcards: export_records(wildcards.device, [wildcards.mode]),
        summary=rules.summary.output.json,
        code=lambda wildcards: step_code(
            "load.job", "load.instance", engine=MODE[wildcards.mode]["engine"]
        ),
    output:
        ARCHIVE.load("{device}", "{mode}") / layout.LOAD_RECORD,
    log:
        ARCHIVE.logs / "load/{device}-{mode}.log",
    threads: ALONE
    params:
        machine=CONFIG["machine"],
        mode=lambda wildcards: json.dumps(MODE[wildcards.mode]),
        setting=CONFIG["load"],
        bounds=CONFIG["latency_bounds"],
        warmup=CONFIG["warmup"],
        threads=CONFIG["threads"],
        photos=os.path.dirname(PHOTOS[0]),
        first=FIRST,
        results=lambda wildcards, output: str(Path(output[0]).parents[3]),
    shell:
        step(
            "load",
            "--machine {params.machine} --device {wildcards.device} --mode {params.mode:q}",
            "--setting {params.setting} --bounds {params.bounds} --summary {input.summary:q}",
            "--warmup {params.warmup} --threads {params.threads} --photos {params.photos:q}",
            "--first {params.first} --records {input.records:q}",
            "--checkpoints {input.checkpoints:q} --references {input.references:q}",
            "--exports {input.exports:q} --results {params.results:q}",
        )


rule capacities:
    input:
        loads=LOADS,
        # read only to know which modes count: `loads` changes with them
        settings=ancient(str(ARCHIVE.settings)),
        roundings=ROUNDINGS,
        emulations=ROUNDING_TABLES,
        tolerances=os.path.relpath(layout.TOLERANCES),
        code=step_code("load.capacities"),
    output:
        ARCHIVE.capacities,
    log:
        ARCHIVE.logs / "capacities.log",
    threads: ALONE
    params:
        results=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        step("capacities", "--results {params.results:q}")
