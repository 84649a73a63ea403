# The report and its figures, rendered from the archive of this machine alone.
rule settings:
    input:
        code=step_code("config.settings"),
    output:
        ARCHIVE.settings,
    log:
        ARCHIVE.logs / "settings.log",
    threads: ALONE
    params:
        config=json.dumps(settings.archived(CONFIG)),
        options=json.dumps(settings.options(workflow.configfiles, workflow.config_settings.config)),
        rounds=json.dumps({device: plan.counted for device, plan in PLANS.items()}),
    shell:
        step(
            "settings",
            "--config {params.config:q} --options {params.options:q} --counted {params.rounds:q}",
            "--output {output:q}",
        )


rule figures:
    input:
        summary=rules.summary.output.json,
        capacities=rules.capacities.output if CONFIG["load"] else [],
        annotations=rules.annotations.output if CONFIG["annotations"] else [],
        requests=job_files(layout.REQUESTS),
        stages=job_files(layout.STAGES),
        passes=PASSES,
        outputs=job_files(layout.OUTPUTS),
        detections=job_files(layout.DETECTIONS),
        references=rules.reference.output.detections,
        photos=rules.photos.output,
        # Read only to know whether the annotations count, which are an input too. Not `rules.settings.output`, because
        # `ancient` would mark that for all rules.
        settings=ancient(str(ARCHIVE.settings)),
        template=package_files(layout.TEMPLATES, "detections.svg.j2"),
        code=step_code("report.figures.draw"),
    output:
        [
            report(
                ARCHIVE.figures / f"{name}.svg",
                caption=f"../report/{name}.rst",
                category="Figures",
            )
            for name in DRAWN
        ],
        [
            report(
                ARCHIVE.pictured(model),
                caption="../report/detections.rst",
                category="Figures",
            )
            for model in SOURCES
        ],
        [
            report(path, caption="../report/differences.rst", category="Figures")
            for path in [ARCHIVE.differences(*place) for place in ANSWERING]
        ],
    log:
        ARCHIVE.logs / "figures.log",
    threads: ALONE
    params:
        results=lambda wildcards, input: os.path.dirname(input.summary),
    shell:
        step("figures", "{params.results:q}")


rule report:
    input:
        summary=rules.summary.output.json,
        capacities=rules.capacities.output if CONFIG["load"] else [],
        figures=rules.figures.output,
        environment=rules.environment.output,
        photos=rules.photos.output.record,
        settings=rules.settings.output,
        code=step_code("report.report"),
        templates=package_files(layout.TEMPLATES, "*"),
    output:
        ARCHIVE.report,
        ARCHIVE.details,
        report(ARCHIVE.report_page, caption="../report/report.rst", category="Report"),
    log:
        REPORT_LOG,
    threads: ALONE
    params:
        results=lambda wildcards, input: os.path.dirname(input.summary),
    shell:
        step("report", "--results {params.results:q}")
