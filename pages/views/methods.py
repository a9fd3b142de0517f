"""Methods: fine-tuning methods compared on one table, with accuracy, cost and several seeds."""

from core.experiments import Study
from pages.forms.method_study import ask_study
from pages.results.method_study import methods_result
from pages.widgets.frame import show_head
from pages.widgets.run_page import new_run, show_run
from pages.widgets.run_picker import list_runs

show_head(
    "Methods",
    "Train all weights, or only a few? Every method is trained on the same molecules with several seeds. Its accuracy "
    "is shown with its cost.",
)
count = len(list_runs(kind=Study.kind))
new_run("New comparison of methods", ask_study, "Run the comparison", str(count), expanded=not count)
show_run(
    "Comparison",
    kind=Study.kind,
    result=methods_result,
    without=("No comparison yet", "Choose a table and methods. The defaults compare the most common methods."),
)
