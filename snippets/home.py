# %% gradient
import torch

# zh: 要对 x 求导
# en: we want the derivative with respect to x
x = torch.tensor(3.0, requires_grad=True)
y = x**2
y.backward()

print("y =", y)
print("x.grad =", x.grad)

# %% built volatile=true
import platform
from datetime import date

print("torch.__version__ =", torch.__version__)
print("platform.python_version() =", platform.python_version())
print("date.today() =", date.today())
