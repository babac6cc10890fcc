"""What a Triton program may do outside its kernels, read off its text: allocate, look at shapes, launch.

torch is at hand in a Triton program, so a kernel that does nothing beside a library call would pass for Triton.
Here the host side is held to a vocabulary. Text can be dodged; what torch really does during a call is watched
as well, see :mod:`orchestrator.execute.gpu.watcher`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, TypeGuard

from orchestrator.execute.gpu.triton_names import MODULES, TORCH, may_use

__all__ = ["triton_violation"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TORCH_MODULES: Final = frozenset({"torch", "torch.cuda"})
_DEEPEST: Final = max(module.count(".") for module in MODULES)
_METHODS: Final = _words(
    """
    matmul mm bmm addmm addbmm baddbmm addmv addr mv dot vdot inner outer ger kron einsum tensordot
    sum nansum mean nanmean prod std var norm logsumexp cumsum cumprod cummax cummin logcumsumexp
    max min amax amin argmax argmin aminmax maximum minimum median nanmedian quantile topk kthvalue argsort
    msort unique unique_consecutive histc histogram bincount searchsorted bucketize
    softmax log_softmax relu relu_ sigmoid sigmoid_ tanh_ exp_ exp2_ log_ sqrt_ rsqrt_ abs_ neg_
    exp exp2 expm1 log log2 log10 log1p sqrt rsqrt tanh erf erfc erfinv lgamma digamma reciprocal square
    clamp clamp_ clamp_min clamp_max clip clip_ lerp lerp_ addcmul addcdiv addcmul_ addcdiv_ nan_to_num
    add_ sub sub_ mul mul_ div div_ pow pow_ fmod remainder floor_divide true_divide subtract multiply divide
    index_add index_add_ index_copy index_copy_ index_put index_put_ index_select index_fill index_fill_
    gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ take take_along_dim
    masked_fill masked_fill_ masked_select masked_scatter masked_scatter_ nonzero where tril triu tril_ triu_
    roll flip fliplr flipud rot90 repeat_interleave cross cdist diff trace det inverse pinverse cholesky qr svd lu
    lstsq logdet slogdet matrix_exp matrix_power stft istft fft sparse_mask to_sparse to_sparse_csr to_dense
    float half double bfloat16 numpy type_as sgn sign logical_and logical_or logical_not logical_xor
    layer_norm group_norm batch_norm rms_norm linear conv1d conv2d conv3d cross_entropy nll_loss mse_loss gelu silu
    scaled_dot_product_attention renorm apply_ map_ backward
    """
)
"""Methods of tensors that compute or lead to numpy; those that Python's containers have too are the watcher's."""
_BUILTINS: Final = _words(
    """
    exec eval compile __import__ globals vars setattr delattr open breakpoint
    __builtins__ __loader__ __spec__
    """
)
"""Functions of Python by which a program says what its text does not."""
_LOOKUPS: Final = frozenset({"getattr", "hasattr"})
_BACK_DOORS: Final = _words(
    """
    torch sys os importlib builtins operator inspect ctypes ctypeslib gc subprocess threading modules
    _sys _os _operator _thread import_module attrgetter methodcaller
    knobs interpreter InterpretedFunction fn base_fn
    gi_frame cr_frame ag_frame tb_frame f_back f_builtins f_globals f_locals
    """
)
"""Attributes that lead to modules which were not imported, to Python's own functions or to a kernel's body."""
_DUNDERS: Final = frozenset({"__name__", "__init__", "__version__", "__doc__", "__call__", "__enter__", "__exit__"})
_OWN_DUNDERS: Final = _DUNDERS | _words(
    """
    __all__ __author__ __file__ __slots__ __new__ __post_init__ __repr__ __str__ __hash__ __eq__ __lt__ __bool__
    __len__ __iter__ __next__ __contains__ __getitem__ __setitem__
    """
)
"""What a program may define; by others a class is handed what Python moves (``__setattr__``) or is made of text
(``__annotations__``)."""


_DUNDER: Final = re.compile(r"__(?!main__)\w+__")


def triton_violation(tree: ast.Module) -> str | None:
    """The rule that a parsed Triton program breaks, in one line; None where none is seen."""
    scan = _Scan(tree)
    if not scan.kernels:
        return "no @triton.jit kernel where Triton was asked"
    for node in scan.host():
        broken = scan.judge(node)
        if broken is not None:
            line = getattr(node, "lineno", None)
            return f"{broken} (line {line})" if line else broken
    return None


class _Scan:
    """The names of a program, and its host side."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._modules: dict[str, set[str]] = {}
        self._jit: set[str] = set()
        self._objects: set[str] = set()
        nodes = list(ast.walk(tree))
        for node in nodes:
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)
        # Where a module's name stands for something of it, and not for the module, which could then be renamed.
        self._named = {id(n.value) for n in nodes if isinstance(n, ast.Attribute)} | {
            id(part) for n in nodes if isinstance(n, ast.Call) and _is_lookup(n) for part in (n.func, *n.args[:1])
        }
        # Nor is it handed on where it is asked whether an import that may fail has found it.
        self._named |= {id(n.left) for n in nodes if isinstance(n, ast.Compare) and _is_identity(n)}
        for node in nodes:
            if isinstance(node, ast.Assign):
                self._assign(node)
        self._locals = {i for n in nodes if isinstance(n, ast.FunctionDef) for i in _calls_of_locals(n)}
        self._torch = {"torch"} | self._names_of("torch")
        self._triton = self._names_of("triton")
        self._rebound = self._objects.union(*(self._binds(node) for node in nodes))
        self.kernels = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and self._is_kernel(n)]
        self._bodies = {id(statement) for kernel in self.kernels for statement in kernel.body}
        if "__name__" not in self._rebound:
            # A program is loaded under another name, so what stands here is never run.
            self._bodies |= {id(s) for node in tree.body if _is_main_guard(node) for s in node.body}

    def host(self) -> Iterator[ast.AST]:
        """Every node outside the bodies of kernels."""
        left: list[ast.AST] = [self._tree]
        while left:
            node = left.pop()
            yield node
            left.extend(reversed([n for n in ast.iter_child_nodes(node) if id(n) not in self._bodies]))

    def judge(self, node: ast.AST) -> str | None:
        """What is wrong with one node of the host side."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            return self._judge_import(node)
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            return "a matrix product (@) outside of a kernel"
        if isinstance(node, ast.Attribute):
            return self._judge_attribute(node)
        if isinstance(node, ast.Name):
            return self._judge_name(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DUNDER.fullmatch(node.value):
            return f"names {node.value}, which a triton program may not"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _may_define(node.name):
            return f"defines {node.name}, which a triton program may not"
        if isinstance(node, ast.MatchClass):
            return "takes attributes by pattern matching, which a triton program may not"
        if isinstance(node, ast.Call):
            return self._judge_call(node)
        if isinstance(node, ast.AugAssign) and _stores_elements(node.target):
            return "assigns to elements outside of a kernel"
        if isinstance(node, ast.Assign) and any(map(_stores_elements, node.targets)):
            return None if _is_number(node.value) else "assigns to elements outside of a kernel"
        return None

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            self._modules.setdefault(bound, set()).add(alias.name if alias.asname else bound)

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            path, bound = f"{node.module}.{alias.name}", alias.asname or alias.name
            if path in MODULES:
                self._modules.setdefault(bound, set()).add(path)
            elif path == "triton.jit":
                self._jit.add(bound)
            else:
                self._objects.add(bound)

    def _assign(self, node: ast.Assign) -> None:
        """Take ``tl = triton.language`` for what it is: an import."""
        target, modules = node.targets[0], self._modules_of(node.value)
        if modules and len(node.targets) == 1 and isinstance(target, ast.Name):
            self._modules.setdefault(target.id, set()).update(modules)
            self._named |= {id(node.value), id(target)}

    def _binds(self, node: ast.AST) -> set[str]:
        """Names that stand for something else, other than by an import, because of ``node``."""
        if isinstance(node, ast.Name):
            return set() if isinstance(node.ctx, ast.Load) or id(node) in self._named else {node.id}
        if isinstance(node, ast.arg):
            return {node.arg}
        named = (
            ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
        )
        return {node.name} if isinstance(node, named) and node.name else set()

    def _names_of(self, module: str) -> set[str]:
        return {name for name, modules in self._modules.items() if module in modules}

    def _modules_of(self, node: ast.expr) -> set[str]:
        """The modules that a name, or a chain of attributes behind one, may stand for."""
        behind: list[str] = []
        while isinstance(node, ast.Attribute) and len(behind) < _DEEPEST:
            behind.append(node.attr)
            node = node.value
        found = self._modules.get(node.id, set()) if isinstance(node, ast.Name) else set()
        while behind and found:
            name = behind.pop()
            found = {f"{module}.{name}" for module in found} & MODULES.keys()
        return found

    def _is_kernel(self, function: ast.FunctionDef) -> bool:
        # The one that comes first: another would be handed the function, not the kernel.
        return any(self._is_jit(d) for d in function.decorator_list[-1:])

    def _is_jit(self, decorator: ast.expr) -> bool:
        if isinstance(decorator, ast.Call):
            decorator = decorator.func
        if isinstance(decorator, ast.Name):
            return decorator.id in self._jit and decorator.id not in self._rebound
        if (
            isinstance(decorator, ast.Attribute)
            and decorator.attr == "jit"
            and isinstance(decorator.value, ast.Name)
        ):
            name = decorator.value.id
            return name in self._triton and name not in self._rebound
        return False

    def _judge_import(self, node: ast.Import | ast.ImportFrom) -> str | None:
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or "."]
        for module in modules:
            if module.split(".")[0] == "torch" and module not in _TORCH_MODULES:
                return f"imports {module[:60]}: torch may only allocate and describe here"
            if module not in MODULES:
                return f"imports {module[:60]}, which a triton program may not"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in _BACK_DOORS or (alias.name.startswith("__") and node.module != "__future__"):
                    return f"uses {alias.name}, which a triton program may not"
                if node.module == "torch" and alias.name not in TORCH:
                    return f"imports torch.{alias.name[:60]}: torch may only allocate and describe here"
                if not may_use(modules[0], alias.name) and not _is_all_of(modules[0], alias.name):
                    return f"imports {modules[0]}.{alias.name[:60]}, which a triton program may not"
        return None

    def _judge_attribute(self, node: ast.Attribute) -> str | None:
        name, root = node.attr, _root(node)
        if name in _BACK_DOORS or (name.startswith("__") and name not in _DUNDERS):
            return f"uses {name}, which a triton program may not"
        if isinstance(node.value, ast.Name) and node.value.id in self._torch and name not in TORCH:
            return f"torch.{name} outside of a kernel: torch may only allocate and describe"
        modules = sorted(self._modules_of(node.value))
        for module in modules:
            if not may_use(module, name):
                return f"uses {module}.{name} outside of a kernel, which a triton program may not"
            if not isinstance(node.ctx, ast.Load) and not module.startswith("torch.backends"):
                return f"changes {module}, which a triton program may not"
        for module in sorted(self._modules_of(node)):
            if id(node) not in self._named:
                return f"passes {module} itself on"
        known = bool(modules) or root not in self._torch
        is_module = root in self._modules and known and root not in self._rebound
        if name in _METHODS and not is_module and not _is_own(node) and not self._is_limit(node):
            return f".{name} outside of a kernel: the computation must be done by Triton kernels"
        return None

    def _judge_name(self, node: ast.Name) -> str | None:
        if node.id in _BUILTINS or not _may_define(node.id):
            return f"uses {node.id}, which a triton program may not"
        if node.id == "locals" and id(node) not in self._locals:
            return "uses locals outside of a function, which a triton program may not"
        if node.id in _LOOKUPS and id(node) not in self._named:
            return f"passes {node.id} itself on"
        if node.id in self._modules and isinstance(node.ctx, ast.Load) and id(node) not in self._named:
            return f"passes {min(self._modules[node.id])} itself on"
        return None

    def _judge_call(self, node: ast.Call) -> str | None:
        if _is_lookup(node):
            return self._judge_getattr(node)
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("to", "type"):
            for value in given:
                if self._is_torch_name(value) and value.attr not in ("cuda", "device", "preserve_format"):
                    what = f".{node.func.attr}(torch.{value.attr})"
                    return f"{what} outside of a kernel: kernels convert what they load"
        return None

    def _is_limit(self, node: ast.Attribute) -> bool:
        """Whether this is the largest or smallest number of a type: ``torch.finfo(torch.float32).max``."""
        made = node.value.func if isinstance(node.value, ast.Call) else None
        return (
            node.attr in ("max", "min")
            and isinstance(made, ast.Attribute)
            and made.attr in ("finfo", "iinfo")
            and self._modules_of(made.value) in ({"torch"}, {"numpy"})
            and _root(made) not in self._rebound
        )

    def _is_torch_name(self, value: ast.expr) -> TypeGuard[ast.Attribute]:
        """Whether this is ``torch.something``."""
        return (
            isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id in self._torch
        )

    def _judge_getattr(self, node: ast.Call) -> str | None:
        name = node.args[1] if len(node.args) > 1 else None
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            return "looks an attribute up by a name that is made while running"
        return self._judge_attribute(ast.Attribute(node.args[0], name.value, ast.Load()))


def _is_main_guard(node: ast.stmt) -> TypeGuard[ast.If]:
    """Whether this is ``if __name__ == "__main__":``."""
    # By its shape: to write a test out as text takes a stack as deep as the test.
    match node:
        case ast.If(
            test=ast.Compare(
                left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]
            )
        ):
            return True
    return False


def _is_lookup(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id in _LOOKUPS


def _is_identity(node: ast.Compare) -> bool:
    """Whether this is ``something is None`` or ``something is not None``."""
    match node:
        case ast.Compare(ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return True
    return False


def _calls_of_locals(function: ast.FunctionDef) -> Iterator[int]:
    """Where a function asks for its own names; a module's hold Python's functions, a class's how it is made."""
    left: list[ast.AST] = [*function.body]
    while left:
        node = left.pop()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "locals":
            yield id(node.func)
        if not isinstance(node, ast.ClassDef):
            left.extend(ast.iter_child_nodes(node))


def _may_define(name: str) -> bool:
    return name in _OWN_DUNDERS or not (name.startswith("__") and name.endswith("__"))


def _is_all_of(module: str, name: str) -> bool:
    """Whether this is ``from module import *`` where all names of it may be used."""
    return name == "*" and MODULES[module] is None and not module.startswith("triton")


def _root(node: ast.expr) -> str:
    """The name at the bottom of a chain of attributes; empty for anything else."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_own(node: ast.Attribute) -> bool:
    """Whether this is an attribute that the program's own class has."""
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _stores_elements(target: ast.expr) -> bool:
    """Whether an assignment writes into an array: by slices or an ellipsis, which no dictionary takes."""
    left = [target]
    while left:
        target = left.pop()
        if isinstance(target, ast.Tuple | ast.List):
            left.extend(target.elts)
        elif isinstance(target, ast.Subscript):
            parts = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
            if any(map(_is_many, parts)):
                return True
    return False


def _is_many(part: ast.expr) -> bool:
    return isinstance(part, ast.Slice) or (isinstance(part, ast.Constant) and part.value is Ellipsis)


def _is_number(value: ast.expr) -> bool:
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    return isinstance(value, ast.Constant)
