"""The function-based worker of the Server Apps guide, word for word."""

# custom_worker.py
import asyncio
from hypha_rpc import connect_to_server

# Simple storage for demo (use proper storage in production)
worker_sessions = {}

async def start(config):
    """Start a new worker session."""
    session_id = f"{config['workspace']}/{config['client_id']}"
    
    print(f"Starting custom session {session_id} for app {config['app_id']}")
    
    # Your custom application startup logic here
    # This is where you would:
    # 1. Fetch the application source code
    # 2. Set up the execution environment  
    # 3. Start the application
    
    # Example implementation:
    app_source = await fetch_app_source(config)
    execution_env = await create_environment(config)
    result = await execute_app(app_source, execution_env)
    
    # Store session data
    session_data = {
        "session_id": session_id,
        "app_id": config["app_id"],
        "workspace": config["workspace"],
        "client_id": config["client_id"],
        "status": "running",
        "app_type": config.get("app_type", "unknown"),
        "created_at": "2024-01-01T00:00:00Z",
        "logs": [f"Custom session {session_id} started"],
        "execution_env": execution_env,
        "result": result
    }
    
    worker_sessions[session_id] = session_data
    return session_data

async def stop(session_id):
    """Stop a custom worker session."""
    print(f"Stopping custom session {session_id}")
    
    if session_id in worker_sessions:
        session_data = worker_sessions[session_id]
        execution_env = session_data.get("execution_env")
        
        # Clean up the execution environment
        if execution_env:
            await cleanup_environment(execution_env)
        
        session_data["status"] = "stopped"
        session_data["logs"].append(f"Session {session_id} stopped")
        print(f"Custom session {session_id} stopped")
    else:
        print(f"Session {session_id} not found")

 

async def get_logs(session_id, type=None, offset=0, limit=None):
    """Get logs for a session.
    
    Returns a dictionary with:
    - items: List of log events, each with 'type' and 'content' fields
    - total: Total number of log items (before filtering/pagination)
    - offset: The offset used for pagination
    - limit: The limit used for pagination
    """
    if session_id not in worker_sessions:
        raise Exception(f"Session {session_id} not found")
    
    logs = worker_sessions[session_id]["logs"]
    
    # Convert logs to items format
    all_items = []
    for log_type, log_entries in logs.items():
        for entry in log_entries:
            all_items.append({"type": log_type, "content": entry})
    
    # Filter by type if specified
    if type:
        filtered_items = [item for item in all_items if item["type"] == type]
    else:
        filtered_items = all_items
    
    total = len(filtered_items)
    
    # Apply pagination
    if limit:
        paginated_items = filtered_items[offset:offset+limit]
    else:
        paginated_items = filtered_items[offset:]
    
    return {
        "items": paginated_items,
        "total": total,
        "offset": offset,
        "limit": limit
    }


async def execute(session_id, script, config=None, progress_callback=None, context=None):
    """Execute a script in a running session (optional method)."""
    if session_id not in worker_sessions:
        raise Exception(f"Session {session_id} not found")
    
    session_data = worker_sessions[session_id]
    
    if progress_callback:
        progress_callback({"type": "info", "message": "Executing script..."})
    
    try:
        # Your custom script execution logic here
        # This is a placeholder - implement based on your worker's capabilities
        execution_env = session_data.get("execution_env", {})
        
        # Example: execute script in your custom environment
        result = await execute_script_in_environment(script, execution_env)
        
        if progress_callback:
            progress_callback({"type": "success", "message": "Script executed successfully"})
        
        # Return results in a structured format
        return {
            "status": "ok",
            "outputs": [
                {
                    "type": "stream",
                    "name": "stdout",
                    "text": str(result)
                }
            ],
            "error": None
        }
        
    except Exception as e:
        error_msg = f"Script execution failed: {str(e)}"
        
        if progress_callback:
            progress_callback({"type": "error", "message": error_msg})
        
        return {
            "status": "error",
            "outputs": [],
            "error": {
                "ename": type(e).__name__,
                "evalue": str(e),
                "traceback": [error_msg]
            }
        }

async def execute_script_in_environment(script, env):
    """Execute script in your custom environment (helper function)."""
    # Implement your custom script execution logic here
    # This could involve:
    # - Running code in a subprocess
    # - Executing in a container
    # - Calling a specialized interpreter
    # - etc.
    return f"Executed script: {script[:50]}..."

# Helper functions for your custom logic
async def fetch_app_source(config):
    """Fetch application source code."""
    # Implementation depends on your storage backend
    # This is a placeholder
    return "# Custom app source code"

async def create_environment(config):
    """Create an execution environment."""
    return {
        "workspace": config["workspace"], 
        "app_id": config["app_id"],
        "env_vars": {}
    }

async def execute_app(source, env):
    """Execute application source code."""
    # Your custom execution logic here
    return {"status": "executed", "result": "success"}

async def cleanup_environment(env):
    """Clean up an execution environment."""
    # Clean up any resources
    pass

# Register the worker as a startup function
async def hypha_startup(server):
    """Initialize the custom worker as a startup function."""
    
    # Register the worker service
    service = await server.register_service({
        "name": "Custom Worker",
        "description": "A custom worker for specialized application types",
        "type": "server-app-worker",
        "config": {
            "visibility": "protected",
            "run_in_executor": True,
        },
        "supported_types": ["my-custom-type", "another-type"],
        "start": start,
        "stop": stop,
        "get_logs": get_logs,
        "execute": execute,  # Optional: enables interactive code execution
    })
    
    print(f"Custom worker registered: {service.id}")
