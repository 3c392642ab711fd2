"""Store with each revision what it changed, and find the newest applies of a host by an index.

The column may be empty, so that SQLite adds it in place: a new table would lose its append-only triggers.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0017_audit_of_host"),
    ]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="change",
            field=models.TextField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="apply",
            index=models.Index(fields=["host", "-sequence"], name="apply_newest_of_host"),
        ),
        migrations.AddIndex(
            model_name="apply",
            index=models.Index(fields=["host", "state"], name="apply_state_of_host"),
        ),
    ]
