# Results as an archive: its manifest, packing, unpacking, auditing and comparing.
localrules:
    archive,
    import_archive,
    audit,
    compare,
    recommend,


# Runs after everything that the report is made of. The manifest also lists old files of modes that were removed.
rule manifest:
    input:
        rules.report.output,
        rules.summary.output,
        job_files(layout.JOB_RECORD),
        code=step_code("archive.pack"),
    output:
        ARCHIVE.manifest,
    log:
        ARCHIVE.logs / "manifest.log",
    resources:
        timing=1,
    params:
        results=lambda wildcards, output: os.path.dirname(output[0]),
    shell:
        step("archive", "--manifest {params.results:q}")


# The user runs the rules below by name. They use existing results and measure nothing.
rule archive:
    log:
        layout.RESULTS / "logs/archive.log",
    params:
        results=str(ARCHIVE.root),
        folder=str(layout.PACKED),
    shell:
        step("archive", "--pack {params.results:q} --folder {params.folder:q}")


rule import_archive:
    log:
        layout.RESULTS / "logs/import.log",
    params:
        file=CONFIG["archive"] or "",
        folder=str(layout.RESULTS),
    shell:
        step("archive", "--unpack={params.file:q} --folder {params.folder:q}")


rule audit:
    log:
        layout.RESULTS / "logs/audit.log",
    params:
        results=str(ARCHIVE.root),
    shell:
        step("audit", "--results {params.results:q}")


rule compare:
    log:
        layout.RESULTS / "logs/compare.log",
    params:
        runs=lambda wildcards: [
            f"--{key}={CONFIG[key]}"
            for key in ("before", "after", "again")
            if CONFIG[key] is not None
        ],
        threshold=CONFIG["regression"],
    shell:
        step("compare", "--threshold {params.threshold} {params.runs:q}")


rule recommend:
    log:
        layout.RESULTS / "logs/recommend.log",
    params:
        results=str(ARCHIVE.root),
        needs=json.dumps({key: CONFIG[key] for key in NEEDS}),
    shell:
        step("recommend", "--results {params.results:q} --needs {params.needs:q}")
