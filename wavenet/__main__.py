from wavenet.cli.main import app

app()
