from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0016_audit_of_actor"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(fields=["host", "verb", "id"], name="audit_event_of_host"),
        ),
    ]
