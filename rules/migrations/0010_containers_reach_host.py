from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0009_forwarded_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="host",
            name="containers_reach_host",
            field=models.CharField(
                choices=[("by-rules", "by rules"), ("allow", "always")], default="by-rules", max_length=10
            ),
        ),
    ]
