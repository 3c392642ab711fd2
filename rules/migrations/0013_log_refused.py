from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rules", "0012_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="host",
            name="log_refused",
            field=models.BooleanField(default=True),
        ),
    ]
