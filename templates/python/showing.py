# What Python apps have in common wherever they run: executing code as a notebook does, and showing what it yields.
# Stands in front of the driver of a process (templates/process) and of a page (templates/apps).

import ast
import base64
import inspect
import io
import linecache
import sys
import textwrap

AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
PICTURES = {"_repr_png_": "image/png", "_repr_jpeg_": "image/jpeg"}
TEXTS = {"_repr_html_": "text/html", "_repr_svg_": "image/svg+xml", "_repr_markdown_": "text/markdown",
         "_repr_latex_": "text/latex"}


def data_of(value):
    """What a notebook would show of a value, by media type."""
    bundle = getattr(value, "_repr_mimebundle_", None)
    data = {}
    if callable(bundle) and not inspect.isclass(value):
        try:
            found = bundle()
            data.update(found[0] if isinstance(found, tuple) else found)
        except Exception:
            pass
    for names in (TEXTS, PICTURES):
        for name, kind in names.items():
            method = getattr(value, name, None)
            if kind in data or not callable(method) or inspect.isclass(value):
                continue
            try:
                found = method()
            except Exception:
                continue
            if isinstance(found, bytes):
                found = base64.b64encode(found).decode()
            if found is not None:
                data[kind] = found
    try:
        data.setdefault("text/plain", repr(value))
    except Exception as error:
        data.setdefault("text/plain", f"<no repr: {error}>")
    return data


def figures():
    """What the figures that matplotlib has open look like; closes them, as notebooks do."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    for number in pyplot.get_fignums() if pyplot else ():
        picture = io.BytesIO()
        figure = pyplot.figure(number)
        figure.savefig(picture, format="png")
        pyplot.close(figure)
        yield {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": repr(figure)}


async def evaluated(script, name, namespace):
    """Runs a cell; the value of its last line, if that is an expression."""
    source = dedented(script)
    # Tracebacks show the lines of a cell as those of a file.
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    await awaited(compile(tree, name, "exec", AWAIT), namespace)
    return await awaited(compile(ast.Expression(last.value), name, "eval", AWAIT), namespace) if last else None


async def awaited(code, namespace):
    value = eval(code, namespace)
    if code.co_flags & inspect.CO_COROUTINE:
        return await value
    return value


def dedented(source):
    lines = [text for text in source.splitlines() if text.strip()]
    return textwrap.dedent(source) if lines and all(text[0] in " \t" for text in lines) else source


