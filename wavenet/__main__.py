from wavenet.cli import app

app()
