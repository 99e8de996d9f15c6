# Größe der Aktionen: siehe Trainer.eval, TDMPC2.plan
SIZE = 1
