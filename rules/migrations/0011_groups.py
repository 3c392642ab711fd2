import django.db.models.deletion
from django.db import migrations, models
from django.db.migrations.state import StateApps


def fill_sources(apps: StateApps, schema_editor: object) -> None:
    """Turn the one source of each rule into a list; `any` is an empty one, as for new rules."""
    rules = apps.get_model("rules", "Rule").objects
    for rule in rules.exclude(source="any").iterator(chunk_size=1000):
        rules.filter(pk=rule.pk).update(sources=[rule.source])


def fill_source(apps: StateApps, schema_editor: object) -> None:
    """Go back to one source, where every rule has at most one address or network."""
    rules = apps.get_model("rules", "Rule").objects
    for rule in rules.iterator(chunk_size=1000):
        if len(rule.sources) > 1 or any(each.startswith("@") for each in rule.sources):
            raise ValueError(f"rule {rule.key} has sources that the earlier release cannot store")
        rules.filter(pk=rule.pk).update(source=rule.sources[0] if rule.sources else "any")


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0010_containers_reach_host"),
    ]

    operations = [
        migrations.CreateModel(
            name="Group",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=40)),
                ("kind", models.CharField(default="static", max_length=10)),
                ("entries", models.JSONField(blank=True, default=list)),
                ("url", models.CharField(blank=True, max_length=2000)),
                ("refresh_hours", models.PositiveIntegerField(default=24)),
                ("allow_http", models.BooleanField(default=False)),
                ("names", models.JSONField(blank=True, default=list)),
                ("countries", models.JSONField(blank=True, default=list)),
                ("comment", models.CharField(blank=True, max_length=200)),
                ("version", models.PositiveBigIntegerField(default=1)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "host",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="groups", to="rules.host"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(fields=("host", "name"), name="group_name_once_per_host")
                ],
            },
        ),
        *(
            migrations.AddField(model_name="rule", name=name, field=field)
            for name, field in (
                ("action", models.CharField(default="allow", max_length=10)),
                ("sources", models.JSONField(blank=True, default=list)),
                ("container", models.CharField(blank=True, max_length=128)),
                ("interface", models.CharField(blank=True, max_length=15)),
                ("limit", models.CharField(blank=True, max_length=20)),
                ("starts", models.CharField(blank=True, max_length=20)),
                ("expires", models.CharField(blank=True, max_length=20)),
                ("owner", models.CharField(blank=True, max_length=100)),
                ("ticket", models.CharField(blank=True, max_length=100)),
                ("tags", models.JSONField(blank=True, default=list)),
            )
        ),
        migrations.RunPython(fill_sources, fill_source),
        migrations.RemoveField(model_name="rule", name="source"),
    ]
