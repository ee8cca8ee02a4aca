"""What a network is conditioned on besides the past: one file for each front end.

The WaveNet paper speaks of global conditioning (one value for a whole recording, such as its label)
and of local conditioning (frames along it, such as a mel spectrogram). Both are front ends here.
To add one: a file beside `label` and `mel`, its settings in `config/model`, a line in `registry`.

    recording --excerpt--> ConditioningInput --Conditioner--> Conditioning --> every layer's gates
                           host, then device                  at frame rate
"""
