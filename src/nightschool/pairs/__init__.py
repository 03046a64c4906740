"""Stage 4: practice pairs from passages, each with a literal evidence span.

`synthesize.write_pairs` is the door. Writers (`rules.RuleWriter`, `model_writer.ModelWriter`)
propose closed-book questions; `curate` throws the doubtful ones away; `split` decides who may see
what; `reading` adds items with real distractors and items whose only right answer is to abstain.
"""
