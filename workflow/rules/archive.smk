# Results as an archive: complete, checked, handed on and brought in.
localrules:
    archive,
    import_archive,
    audit,
    compare,


# Of everything that the report is made of; an earlier report's figures of removed modes stay in it.
rule manifest:
    input:
        rules.report.output,
        rules.summary.output,
        job_files("job.json"),
        code=step_code("archive"),
    output:
        f"{RESULTS}/MANIFEST.sha256",
    log:
        f"{RESULTS}/logs/manifest.log",
    resources:
        timing=1,
    params:
        results=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        "python3 -m effdet_bench archive --manifest {params.results:q} 2>&1 | tee {log} >&2"


# Those below are asked for by name, and take what is there: none of them measures anything.
rule archive:
    log:
        "results/logs/archive.log",
    params:
        results=RESULTS,
    shell:
        "python3 -m effdet_bench archive --pack {params.results:q} --folder archives"
        " 2>&1 | tee {log} >&2"


rule import_archive:
    log:
        "results/logs/import.log",
    params:
        file=CONFIG["archive"] or "",
    shell:
        "python3 -m effdet_bench archive --unpack={params.file:q} --folder results"
        " 2>&1 | tee {log} >&2"


rule audit:
    log:
        "results/logs/audit.log",
    params:
        results=RESULTS,
    shell:
        "python3 -m effdet_bench audit --results {params.results:q} 2>&1 | tee {log} >&2"


rule compare:
    log:
        "results/logs/compare.log",
    params:
        runs=lambda wildcards: [
            f"--{key}={CONFIG[key]}" for key in ("before", "after") if CONFIG[key] is not None
        ],
        threshold=CONFIG["regression"],
    shell:
        "python3 -m effdet_bench compare --threshold {params.threshold} {params.runs:q}"
        " 2>&1 | tee {log} >&2"
